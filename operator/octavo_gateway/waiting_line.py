"""Requests of one service that wait for a replica: first come, first served, bounded."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Protocol

from octavo_gateway.routing import Endpoint, Service


class LineFull(Exception):
    """As many wait as may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Which replica a request may get; the meaning is that of `Ticket.endpoint`."""

    service: Service
    avoid: Set[Endpoint] = frozenset()
    prefix: bytes = b""
    revision: str | None = None

    @property
    def is_choosy(self) -> bool:
        """When it finds nothing, another request may yet."""
        return self.revision is not None or bool(self.avoid)


class Lease(Protocol):
    """A place at a replica, taken until it is released."""

    @property
    def endpoint(self) -> Endpoint: ...

    def release(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Waiter:
    want: Want
    lease: asyncio.Future[Lease]


class WaitingLine:
    """`pick` takes a place for a request, or answers None while there is none."""

    def __init__(self, pick: Callable[[Want], Lease | None]) -> None:
        self._pick = pick
        self._waiters: deque[_Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    async def take(
        self,
        want: Want,
        *,
        until: float,
        goes_first: bool = False,
        max_waiting: int | None = None,
        on_wait: Callable[[], None],
    ) -> Lease:
        """A place, at the latest at the loop's time `until`; `on_wait` is called when there is none at once.

        `goes_first` is for who has waited before. Raises LineFull when `max_waiting` wait, and TimeoutError.
        """
        if (goes_first or not self._waiters) and (lease := self._pick(want)) is not None:
            return lease
        if max_waiting is not None and len(self._waiters) >= max_waiting:
            raise LineFull
        waiter = _Waiter(want, asyncio.get_running_loop().create_future())
        if goes_first:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        # Those before may wait for what this one does not ask for.
        self.wake()
        if not waiter.lease.done():
            on_wait()
        return await self._wait(waiter, until)

    async def _wait(self, waiter: _Waiter, until: float) -> Lease:
        try:
            async with asyncio.timeout_at(until):
                return await waiter.lease
        except BaseException:
            # It may have got its place in the moment in which it gave up.
            if waiter.lease.done() and not waiter.lease.cancelled():
                waiter.lease.result().release()
                self.wake()
            else:
                waiter.lease.cancel()
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
            raise

    def wake(self) -> None:
        """Something changed: give out what there is, in the order in which they came."""
        passed_over: list[_Waiter] = []
        while self._waiters:
            waiter = self._waiters[0]
            if waiter.lease.done():  # it left, and its task has not run since
                self._waiters.popleft()
                continue
            lease = self._pick(waiter.want)
            if lease is None and not waiter.want.is_choosy:
                break
            self._waiters.popleft()
            if lease is None:
                passed_over.append(waiter)
            else:
                waiter.lease.set_result(lease)
        self._waiters.extendleft(reversed(passed_over))
