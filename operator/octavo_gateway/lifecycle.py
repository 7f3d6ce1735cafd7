"""The gateway process's own life: serving, leaving (still accepting), closed (finishing what is open)."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from octavo_gateway.errors import Unavailable

log = logging.getLogger(__name__)


class Lifecycle:
    """Owns the phase and the count of open requests.

    A pod that leaves gets new connections until every node has heard of it, so it goes on accepting for
    `propagation_seconds`, asking clients to connect anew; only then does it refuse.
    """

    def __init__(self, *, propagation_seconds: float, timeout_seconds: float) -> None:
        self._propagation_seconds = propagation_seconds
        self._timeout_seconds = timeout_seconds
        self._is_leaving = False
        self._is_closed = False
        self._num_open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_leaving(self) -> bool:
        return self._is_leaving

    @property
    def num_open_requests(self) -> int:
        return self._num_open

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        """Counts a client's request as open while the block runs. Raises Unavailable once closed."""
        if self._is_closed:
            raise Unavailable(
                "this gateway replica is shutting down; send the request again",
                code="gateway_draining",
                retry_after=1,
            )
        self._num_open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._num_open -= 1
            if not self._num_open:
                self._idle.set()

    async def drain(self, let_go: Callable[[], None] = lambda: None) -> int:
        """Leave, close, finish; the number of requests that were still open when the time was up.

        `let_go` is called when we close: connections that are kept alive would bring requests to refuse.
        """
        self._is_leaving = True
        log.info("leaving: accepting for %g s more", self._propagation_seconds)
        await asyncio.sleep(self._propagation_seconds)
        self._is_closed = True
        let_go()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                await self._idle.wait()
        log.log(
            logging.WARNING if self._num_open else logging.INFO, "drained: %d requests open", self._num_open
        )
        return self._num_open
