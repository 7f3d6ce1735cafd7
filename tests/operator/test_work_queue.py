import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from waiting import until

from octavo_operator import work_queue
from octavo_operator.work_queue import RetryLater, WorkQueue


@asynccontextmanager
async def running(queue: WorkQueue[str], num_workers: int = 2) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(num_workers))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Visits:
    """Records visits; each waits at the gate."""

    def __init__(self, *outcomes: float | Exception | None) -> None:
        self.started: list[str] = []
        self.at_once: dict[str, int] = {}
        self.most_at_once: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self._outcomes = list(outcomes)

    async def __call__(self, key: str) -> float | None:
        self.started.append(key)
        self.at_once[key] = self.at_once.get(key, 0) + 1
        self.most_at_once[key] = max(self.most_at_once.get(key, 0), self.at_once[key])
        await self.gate.wait()
        self.at_once[key] -= 1
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_many_additions_of_one_key_become_one_visit() -> None:
    visits = Visits()
    queue = WorkQueue(visits)
    for _ in range(50):
        queue.add("a")
    async with running(queue):
        await until(lambda: len(visits.started) >= 1)
        await asyncio.sleep(0.05)
    assert visits.started == ["a"]


async def test_a_change_during_a_visit_leads_to_exactly_one_more() -> None:
    visits = Visits()
    visits.gate.clear()
    queue = WorkQueue(visits)
    queue.add("a")
    async with running(queue):
        await until(lambda: visits.started == ["a"])
        for _ in range(5):
            queue.add("a")
        await asyncio.sleep(0.02)
        visits.gate.set()
        await until(lambda: len(visits.started) == 2)
        await asyncio.sleep(0.05)
    assert visits.started == ["a", "a"]
    assert visits.most_at_once == {"a": 1}


async def test_a_slow_key_does_not_hold_up_another() -> None:
    visits = Visits()
    visits.gate.clear()
    queue = WorkQueue(visits)
    queue.add("slow")
    queue.add("other")
    async with running(queue, num_workers=2):
        await until(lambda: sorted(visits.started) == ["other", "slow"])


async def test_a_visit_that_raises_is_repeated_with_growing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_queue, "FIRST_BACKOFF", 0.02)
    times: list[float] = []

    async def visit(_: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 5:
            raise RuntimeError("no")
        return None

    queue = WorkQueue(visit)
    queue.add("a")
    async with running(queue):
        await until(lambda: len(times) == 5)
    waits = [after - before for before, after in pairwise(times)]
    assert all(wait >= 0.015 * 2**number for number, wait in enumerate(waits))


async def test_what_the_api_server_asked_for_is_waited_at_least() -> None:
    visits = Visits(RetryLater("throttled", 0.4))
    queue = WorkQueue(visits)
    queue.add("a")
    async with running(queue):
        await until(lambda: len(visits.started) == 1)
        await asyncio.sleep(0.32)
        assert len(visits.started) == 1
        await until(lambda: len(visits.started) == 2)


async def test_a_visit_is_repeated_when_it_says_so_and_not_before() -> None:
    visits = Visits(0.15)
    queue = WorkQueue(visits)
    queue.add("a")
    async with running(queue):
        await until(lambda: len(visits.started) == 1)
        await asyncio.sleep(0.1)
        assert len(visits.started) == 1
        await until(lambda: len(visits.started) == 2)
        await asyncio.sleep(0.2)
    assert len(visits.started) == 2


async def test_an_event_does_not_wait_for_the_resync() -> None:
    visits = Visits(3600.0)
    queue = WorkQueue(visits)
    queue.add("a")
    async with running(queue):
        await until(lambda: len(visits.started) == 1)
        await asyncio.sleep(0.01)
        queue.add("a")
        await until(lambda: len(visits.started) == 2)


async def test_a_stuck_visit_and_a_starved_key_show() -> None:
    visits = Visits()
    visits.gate.clear()
    queue = WorkQueue(visits)
    queue.add("stuck")
    queue.add("starved")
    async with running(queue, num_workers=1):
        await until(lambda: visits.started == ["stuck"])
        await asyncio.sleep(0.05)
        assert queue.longest_visit() >= 0.04
        assert queue.longest_wait() >= 0.04
    assert len(queue) == 2


@pytest.mark.parametrize("steps", range(8))
async def test_it_ends_when_it_is_cancelled_at_whatever_moment(steps: int) -> None:
    queue = WorkQueue(Visits())
    queue.add("later", after=3600.0)
    task = asyncio.create_task(queue.run(2))
    await asyncio.sleep(0.01)
    queue.add("now")
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=1.0)
    assert done
