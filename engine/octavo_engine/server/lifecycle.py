"""Where the server is in its life: loading, ready, draining (still accepting), closed (finishing)."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from octavo_engine.logs import log_event
from octavo_engine.server.errors import Unavailable, server_draining
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.settings import DrainSettings

logger = logging.getLogger(__name__)

Phase = Literal["loading", "ready", "draining", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    num_unfinished: int
    """Requests that still ran when the time was up."""


class Lifecycle:
    """Owns the phase and the count of open requests; lives on the event loop."""

    def __init__(self, drain: DrainSettings) -> None:
        self._drain_settings = drain
        self._phase: Phase = "loading"
        self._model: ServedModel | None = None
        self._num_open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining: asyncio.Task[DrainReport] | None = None

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def is_ready(self) -> bool:
        return self._phase == "ready"

    @property
    def is_draining(self) -> bool:
        return self._phase in ("draining", "closed")

    @property
    def num_open_requests(self) -> int:
        return self._num_open

    @property
    def loaded_model(self) -> ServedModel | None:
        return self._model

    def model(self) -> ServedModel:
        """For routes behind `admit`, which lets nobody in before a model is loaded."""
        assert self._model is not None
        return self._model

    def become_ready(self, model: ServedModel) -> None:
        self._model = model
        if self._phase == "loading":
            self._phase = "ready"

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request as open until the block ends, or say why it may not come in."""
        if self._phase == "loading":
            raise Unavailable("the model is still loading", code="model_loading", retry_after=5)
        if self._phase == "closed":
            raise server_draining()
        self._num_open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._num_open -= 1
            if self._num_open == 0:
                self._idle.set()

    async def drain(self) -> DrainReport:
        """Begin to drain, or join the drain under way; a caller that leaves does not stop it."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await asyncio.shield(self._draining)

    async def _drain(self) -> DrainReport:
        settings = self._drain_settings
        if self._phase == "ready":
            self._phase = "draining"
            log_event(
                logger,
                logging.INFO,
                "draining: requests are still accepted for a while",
                propagation_seconds=settings.propagation_seconds,
                open_requests=self._num_open,
            )
            await asyncio.sleep(settings.propagation_seconds)
        self._phase = "closed"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.timeout_seconds):
                await self._idle.wait()
        level = logging.WARNING if self._num_open else logging.INFO
        log_event(logger, level, "drained", unfinished_requests=self._num_open)
        return DrainReport(num_unfinished=self._num_open)
