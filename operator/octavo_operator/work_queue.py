"""A queue of keys, not of events: many changes of one object become one visit, and one object has one worker.

A visit that raises comes back with jittered exponential backoff; one that ends well says when it wants to
be repeated. Errors of one key never hold up another.
"""

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, Literal, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

VisitOutcome = Literal["done", "retry", "error"]
"""It ended well; it raised RetryLater; it raised what nobody foresaw."""
Note = Callable[[K, VisitOutcome, float, float], None]
"""Key, outcome, seconds that it was due before it began, seconds that it took."""

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 60.0


class RetryLater(Exception):
    """A visit could not finish; `seconds` is what the API server asked for, if it did."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class WorkQueue(Generic[K]):
    """`visit(key)` returns the seconds until the next visit, or None when the key is of no interest."""

    def __init__(
        self, visit: Callable[[K], Awaitable[float | None]], *, note: Note[K] = lambda *_: None
    ) -> None:
        """`note` is told of every visit that ended."""
        self._visit = visit
        self._note = note
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0
        self._running: dict[K, float] = {}
        self._again: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs_since: float | None = None

    def __len__(self) -> int:
        return len(self._due) + len(self._running)

    def longest_visit(self) -> float:
        """Seconds that the oldest running visit has taken: a stuck worker shows here."""
        return time.monotonic() - min(self._running.values(), default=time.monotonic())

    def longest_wait(self) -> float:
        """Seconds that the most overdue key has waited for a worker: a starved queue shows here."""
        if self._runs_since is None:
            return 0.0
        now = time.monotonic()
        return max(0.0, now - max(self._runs_since, min(self._due.values(), default=now)))

    def add(self, key: K, after: float = 0.0) -> None:
        """At the latest `after` seconds from now; a key that is due earlier stays so."""
        due = time.monotonic() + after
        if key in self._running:
            self._again[key] = min(due, self._again.get(key, due))
        elif due < self._due.get(key, float("inf")):
            self._schedule(key, due)

    def _schedule(self, key: K, due: float) -> None:
        self._due[key] = due
        self._serial += 1
        heapq.heappush(self._heap, (due, self._serial, key))
        self._notify()

    def _notify(self) -> None:
        async def notify() -> None:
            async with self._wake:
                self._wake.notify()

        task = asyncio.ensure_future(notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self, num_workers: int) -> None:
        """Until cancelled."""
        self._runs_since = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(num_workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key, waited = await self._next()
            began = time.monotonic()
            outcome: VisitOutcome = "done"
            try:
                self._settle(key, await self._visit(key))
            except RetryLater as error:
                outcome = "retry"
                self._back_off(key, error.seconds, str(error))
            except Exception as error:
                # The edge of one visit: whatever went wrong there is told and tried again, and the
                # other services go on.
                outcome = "error"
                log.exception("%s: visit failed", key)
                self._back_off(key, None, str(error))
            self._note(key, outcome, waited, time.monotonic() - began)

    async def _next(self) -> tuple[K, float]:
        """The key, and how long it has been due since we run."""
        async with self._wake:
            while True:
                while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                    heapq.heappop(self._heap)  # superseded by an earlier date
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    break
                # Not wait_for: it loses a cancellation that comes together with a notification.
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
        due, _, key = heapq.heappop(self._heap)
        del self._due[key]
        now = self._running[key] = time.monotonic()
        return key, now - max(due, self._runs_since or now)

    def _settle(self, key: K, after: float | None) -> None:
        self._failures.pop(key, None)
        self._finish(key, after)

    def _back_off(self, key: K, at_least: float | None, message: str) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures, 12)) * random.uniform(0.75, 1.25)  # noqa: S311
        wait = max(wait, min(at_least or 0.0, LONGEST_BACKOFF))
        log.warning("%s: trying again in %.1f s: %s", key, wait, message)
        # What changed meanwhile does not shorten the wait: a failing key must not spin on its own events.
        self._again.pop(key, None)
        self._finish(key, wait)

    def _finish(self, key: K, after: float | None) -> None:
        del self._running[key]
        again = self._again.pop(key, None)
        if after is not None:
            due = time.monotonic() + after
            again = due if again is None else min(due, again)
        if again is not None:
            self._schedule(key, again)
