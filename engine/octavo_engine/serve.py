"""`octavo serve`: listen at once, load the model meanwhile, serve, drain, leave. The process's life."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import uvloop

from octavo_engine.config import EngineConfig
from octavo_engine.errors import EngineError
from octavo_engine.logs import log_event
from octavo_engine.messages import AddRequest, Engine, SamplingParams
from octavo_engine.model_loading import load_model
from octavo_engine.server.app import create_app
from octavo_engine.server.http_server import HttpServer, listening_socket
from octavo_engine.server.lifecycle import Lifecycle
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.settings import ServerSettings
from octavo_engine.sources import HubAccess

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeCommand:
    """`engine.model.path` is a placeholder until `source` has been resolved to a folder."""

    source: str
    hub: HubAccess
    server: ServerSettings
    engine: EngineConfig
    termination_log: Path | None = None


def serve(command: ServeCommand) -> int:
    """Run until told to stop; the process's exit code."""
    try:
        listener = listening_socket(command.server.host, command.server.port)
        process = ServeProcess(command)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(process.run(listener))
        code = 0
    except EngineError as error:
        code = error.exit_code
        _report_failure(str(error), code, command.termination_log)
        process = None
    if process is not None and process.is_loading:
        # The loader cannot be interrupted, and Python would wait for it or tear torch down under it.
        _flush()
        os._exit(code)
    return code


class ServeProcess:
    """Owns the signals and the order of starting and stopping."""

    def __init__(self, command: ServeCommand) -> None:
        self._command = command
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self.is_loading = False

    async def run(self, listener: socket.socket) -> None:
        settings = self._command.server
        self._listen_to_signals()
        lifecycle = Lifecycle(settings.drain)
        server = HttpServer(create_app(settings, lifecycle))
        serving = asyncio.create_task(server.serve_on(listener))
        host, port = listener.getsockname()[:2]
        log_event(logger, logging.INFO, "listening", host=host, port=port)
        try:
            await self._load_and_wait(lifecycle)
            await self._finish_open_requests(lifecycle)
        finally:
            if lifecycle.loaded_model is not None:
                lifecycle.loaded_model.engine.shutdown()
            server.stop()
            await serving
        log_event(logger, logging.INFO, "stopped")

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        log_event(logger, logging.INFO, "signal", name=number.name)
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def _load_and_wait(self, lifecycle: Lifecycle) -> None:
        """Returns when told to stop; raises when the model cannot be loaded."""
        stopping = asyncio.create_task(self._stop.wait())
        loading = asyncio.ensure_future(self._load())
        await asyncio.wait({stopping, loading}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            loading.cancel()
            return
        lifecycle.become_ready(loading.result())
        await stopping

    async def _load(self) -> ServedModel:
        started = time.monotonic()
        self.is_loading = True
        command = self._command
        model = await in_daemon_thread(
            lambda: load_model(command.source, command.hub, command.engine, command.server.served_names)
        )
        self.is_loading = False
        await generate_first_token(model.engine)
        log_event(
            logger,
            logging.INFO,
            "ready",
            models=",".join(model.names),
            seconds=round(time.monotonic() - started, 1),
            max_model_len=model.engine.info.max_model_len,
            kv_blocks=model.engine.info.num_blocks,
            dtype=model.engine.info.dtype,
            device=model.engine.info.device,
        )
        return model

    async def _finish_open_requests(self, lifecycle: Lifecycle) -> None:
        """Drain as `/drain` does, unless a second signal says not to wait."""
        if not lifecycle.is_ready and not lifecycle.is_draining:
            return
        draining = asyncio.create_task(lifecycle.drain())
        hurrying = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            log_event(
                logger,
                logging.WARNING,
                "second signal: stopping without waiting",
                cut_requests=lifecycle.num_open_requests,
            )


async def generate_first_token(engine: Engine) -> None:
    """A server that has never computed a token is not ready."""
    request = AddRequest(
        request_id="first-token",
        prompt_token_ids=(0,),
        sampling=SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True),
        arrival_time=time.monotonic(),
    )
    async for message in engine.generate(request):
        if message.finish_reason == "error":
            raise EngineError(f"the model is loaded but cannot generate a token: {message.error}")


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """As `asyncio.to_thread`, but a process that wants to leave need not wait for it."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[[], None]) -> None:
        if not outcome.done():
            set_outcome()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            failure = error
            report = lambda: outcome.set_exception(failure)  # noqa: E731
        else:
            report = lambda: outcome.set_result(result)  # noqa: E731
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, report)

    threading.Thread(target=run, name="octavo-load", daemon=True).start()
    return await outcome


def _report_failure(message: str, exit_code: int, termination_log: Path | None) -> None:
    """The sentence becomes the pod's termination message, and from there a condition."""
    log_event(logger, logging.ERROR, "cannot serve", reason=message, exit_code=exit_code)
    if termination_log is None:
        return
    try:
        termination_log.write_text(message, encoding="utf-8")
    except OSError as error:
        log_event(logger, logging.WARNING, "cannot write the termination log", reason=error)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
