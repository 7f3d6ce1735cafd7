"""The core on a thread of its own, seen from the server's event loop as `messages.Engine`."""

import asyncio
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from octavo_engine.config import EngineConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.messages import (
    AbortRequest,
    AddRequest,
    EngineInfo,
    EngineStats,
    FinishReason,
    TokensReady,
)

logger = logging.getLogger(__name__)

Command = AddRequest | AbortRequest


class EngineThread:
    """Implements `messages.Engine`. The thread sleeps while no request is open; nothing polls.

    Commands go to the thread through a list under a condition; tokens come back with one call into each event
    loop a step. A core that raises has lost its state: then every open and every later request ends with an
    error, `failed` says why, and `seconds_without_progress` is infinite.
    """

    def __init__(self, core: EngineCore) -> None:
        self.failed: str | None = None
        self._core = core
        self._wake = threading.Condition()  # guards the four fields below
        self._commands: list[Command] = []
        self._streams: dict[str, _Stream] = {}
        self._is_stopping = False
        self._last_progress: float | None = None  # None while idle
        self._thread = threading.Thread(target=self._run, name="octavo-engine", daemon=True)
        self._thread.start()

    @property
    def info(self) -> EngineInfo:
        return self._core.info

    async def generate(self, request: AddRequest) -> AsyncIterator[TokensReady]:
        stream = _Stream(asyncio.get_running_loop())
        refusal = self._open(request, stream)
        if refusal is not None:
            yield refusal
            return
        try:
            while not stream.is_finished:
                message = await stream.queue.get()
                stream.is_finished = message.finish_reason is not None
                yield message
        finally:
            self._close(request.request_id, stream)

    def stats(self) -> EngineStats:
        return self._core.stats()

    def seconds_without_progress(self) -> float:
        if self.failed is not None:
            return math.inf
        last_progress = self._last_progress
        return 0.0 if last_progress is None else time.monotonic() - last_progress

    def shutdown(self) -> None:
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        self._thread.join()

    def _open(self, request: AddRequest, stream: "_Stream") -> TokensReady | None:
        """Hand the request to the thread; a message says why not."""
        request_id = request.request_id
        with self._wake:
            if self.failed is not None:
                return _last_message(request_id, "error", self.failed)
            if self._is_stopping:
                return _last_message(request_id, "abort", None)
            if request_id in self._streams:
                return _last_message(request_id, "error", f"request id {request_id} is in use")
            self._streams[request_id] = stream
            self._send(request)
            return None

    def _close(self, request_id: str, stream: "_Stream") -> None:
        with self._wake:
            del self._streams[request_id]
            if not stream.is_finished:
                self._send(AbortRequest(request_id=request_id))

    def _send(self, command: Command) -> None:
        self._commands.append(command)
        if self._last_progress is None:
            self._last_progress = time.monotonic()
        self._wake.notify()

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._deliver(self._core.step())
        except (
            Exception
        ) as error:  # a bug of ours or a lost device: nothing computed from here on can be trusted
            logger.exception("the engine died; restart the process")
            self._end_all("error", f"the engine died: {type(error).__name__}; see its log")
        else:
            self._end_all("abort", None)

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to compute; False when it is time to stop."""
        while not self._is_stopping:
            with self._wake:
                if not self._commands and not self._core.has_work():
                    self._last_progress = None
                    self._wake.wait_for(lambda: self._commands or self._is_stopping)
                else:
                    self._last_progress = self._last_progress or time.monotonic()
                commands, self._commands = self._commands, []
            self._deliver(filter(None, map(self._apply, commands)))
            if self._core.has_work():
                return True
        return False

    def _apply(self, command: Command) -> TokensReady | None:
        match command:
            case AddRequest():
                return self._core.add(command)
            case AbortRequest():
                return self._core.abort(command.request_id)

    def _deliver(self, messages: Iterable[TokensReady]) -> None:
        """Give each event loop its streams' messages in one call."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Stream, TokensReady]]] = defaultdict(list)
        with self._wake:
            if self._last_progress is not None:
                self._last_progress = time.monotonic()
            for message in messages:
                stream = self._streams.get(message.request_id)
                if stream is not None:
                    by_loop[stream.loop].append((stream, message))
        for loop, items in by_loop.items():
            try:
                loop.call_soon_threadsafe(_put_all, items)
            except RuntimeError:  # the loop was closed, and with it went all who listened
                logger.warning("an event loop is closed; %d messages have no reader", len(items))

    def _end_all(self, reason: FinishReason, error: str | None) -> None:
        with self._wake:
            self.failed = error
            self._is_stopping = True
            messages = [_last_message(request_id, reason, error) for request_id in self._streams]
        self._deliver(messages)


@dataclass(slots=True, eq=False)
class _Stream:
    """One caller of `generate`: where its messages go."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[TokensReady] = field(default_factory=asyncio.Queue)
    is_finished: bool = False


def _put_all(items: list[tuple[_Stream, TokensReady]]) -> None:
    for stream, message in items:
        stream.queue.put_nowait(message)


def _last_message(request_id: str, reason: FinishReason, error: str | None) -> TokensReady:
    return TokensReady(request_id=request_id, token_ids=(), finish_reason=reason, error=error)


def load_engine(config: EngineConfig) -> EngineThread:
    """Read the model and start the engine's thread; blocks for as long as that takes.

    Raises the errors of `errors`, whose messages are for the user.
    """
    from octavo_engine.load import load_core  # PyTorch takes seconds to import, and a server listens before

    return EngineThread(load_core(config))
