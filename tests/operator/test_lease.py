"""Several candidates, clocks of their own, an API server that checks versions and can be made to fail."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from waiting import until

from octavo_api.api_server import LEASES, ApiError, Manifest, Resource
from octavo_operator.lease import Lease, LeaseLost, LeaseTimes

TIMES = LeaseTimes(duration=15.0, renew_deadline=10.0, retry=0.01)


class Leases:
    """The one Lease."""

    def __init__(self) -> None:
        self.live: Manifest | None = None
        self.failure: ApiError | None = None
        self.writes: list[str] = []
        self.slow: asyncio.Event | None = None
        self._version = 0

    @property
    def spec(self) -> dict[str, Any]:
        assert self.live is not None
        return dict(self.live["spec"])

    @property
    def holder(self) -> str:
        return str(self.spec["holderIdentity"]).partition("_")[0] if self.live else ""

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        assert (resource, namespace, name) == (LEASES, "system", "octavo-operator-leader")
        await self._fail()
        return copy.deepcopy(self.live)

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        await self._fail()
        if self.live is not None:
            raise ApiError(409, "AlreadyExists", "it is there")
        return self._store(manifest)

    async def replace(
        self, resource: Resource, namespace: str, manifest: Manifest, *, field_manager: str
    ) -> Manifest:
        await self._fail()
        if self.live is None or manifest["metadata"] != self.live["metadata"]:
            raise ApiError(409, "Conflict", "another version")
        return self._store(manifest)

    async def _fail(self) -> None:
        await asyncio.sleep(0)
        if self.slow is not None:
            await self.slow.wait()
        if self.failure is not None:
            raise self.failure

    def _store(self, manifest: Manifest) -> Manifest:
        self._version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self._version)}
        self.live = {**copy.deepcopy(manifest), "metadata": metadata}
        self.writes.append(self.holder)
        return copy.deepcopy(self.live)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Candidate:
    def __init__(self, server: Leases, name: str, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.lease = Lease(server, "system", f"{name}_1", times=TIMES, clock=self.clock)
        self.task = asyncio.create_task(self.lease.run())

    async def end(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError, LeaseLost):
            await self.task


@asynccontextmanager
async def led(server: Leases) -> AsyncIterator[tuple[Candidate, Candidate]]:
    """`a` leads and `b` has seen that."""
    a = Candidate(server, "a")
    await until(lambda: a.lease.is_held)
    b = Candidate(server, "b")
    try:
        await asyncio.sleep(0.05)
        yield a, b
    finally:
        await a.end()
        await b.end()


async def test_one_of_two_leads_and_renews_while_the_other_stands_by() -> None:
    server = Leases()
    async with led(server) as (a, b):
        renewed = server.spec["renewTime"]
        for _ in range(20):  # ten times the duration of a Lease that nobody renews
            a.clock.now += 7.5
            b.clock.now += 7.5
            await asyncio.sleep(0.03)
        assert (a.lease.is_held, b.lease.is_held) == (True, False)
        assert a.lease.acquired.is_set() and not b.lease.acquired.is_set()
        assert set(server.writes) == {"a"}
        assert server.spec["renewTime"] > renewed
        assert (server.spec["leaseTransitions"], server.spec["leaseDurationSeconds"]) == (0, 15)


async def test_a_lease_that_is_renewed_no_more_is_taken_after_its_duration_by_the_others_clock() -> None:
    server = Leases()
    async with led(server) as (a, b):
        acquired = server.spec["acquireTime"]
        await a.end()
        await asyncio.sleep(0.05)
        b.clock.now += 14.9
        await asyncio.sleep(0.05)
        assert not b.lease.is_held
        b.clock.now += 0.2
        await until(lambda: b.lease.is_held)
        assert server.holder == "b" and server.spec["leaseTransitions"] == 1
        assert server.spec["acquireTime"] > acquired


async def test_the_time_that_is_written_in_the_lease_does_not_count() -> None:
    server = Leases()
    async with led(server) as (a, b):
        await a.end()
        assert server.live is not None
        server.live["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
        await asyncio.sleep(0.05)
        b.clock.now += 14.0
        await asyncio.sleep(0.05)
        assert not b.lease.is_held


async def test_a_leader_that_cannot_renew_stops_at_its_deadline_and_ends() -> None:
    server = Leases()
    async with led(server) as (a, _):
        server.failure = ApiError(0, "NoAnswer", "refused")
        await asyncio.sleep(0.05)
        a.clock.now += 9.9
        await asyncio.sleep(0.05)
        assert a.lease.is_held
        a.clock.now += 0.2
        assert not a.lease.is_held
        with pytest.raises(LeaseLost, match="could not be renewed within 10 s"):
            await a.task


async def test_a_leader_that_slept_holds_nothing_when_it_wakes_and_renews_nothing() -> None:
    server = Leases()
    async with led(server) as (a, b):
        await b.end()
        writes = server.writes.count("a")
        a.clock.now += 60
        assert not a.lease.is_held
        with pytest.raises(LeaseLost):
            await a.task
        assert server.writes.count("a") <= writes + 1  # one may have been on its way


async def test_a_stand_by_that_slept_looks_again_before_it_takes() -> None:
    server = Leases()
    async with led(server) as (_, b):
        await b.end()
        await asyncio.sleep(0.05)
        b.clock.now += 100
        b.task = asyncio.create_task(b.lease.run())
        await asyncio.sleep(0.05)
        assert server.holder == "a" and not b.lease.is_held


async def test_passing_errors_end_no_lead() -> None:
    server = Leases()
    async with led(server) as (a, b):
        for status in (0, 409, 429, 500, 503):
            server.failure = ApiError(status, "Scripted", "no")
            await asyncio.sleep(0.03)
            a.clock.now += 4
            server.failure = None
            await asyncio.sleep(0.03)
        assert a.lease.is_held and not a.task.done() and not b.task.done()


async def test_a_leader_whose_lease_another_has_ends() -> None:
    server = Leases()
    async with led(server) as (a, _):
        assert server.live is not None
        server.live["spec"]["holderIdentity"] = "c_1"
        server.live["metadata"]["resourceVersion"] = "70"
        with pytest.raises(LeaseLost, match="c_1 has taken the Lease"):
            await a.task


async def test_a_released_lease_is_taken_at_once() -> None:
    server = Leases()
    async with led(server) as (a, b):
        await a.end()
        await a.lease.release()
        assert not a.lease.is_held
        await until(lambda: b.lease.is_held, seconds=0.5)


async def test_who_does_not_lead_releases_nothing() -> None:
    server = Leases()
    async with led(server) as (_, b):
        await b.end()
        await b.lease.release()
        assert server.holder == "a"


async def test_of_many_that_start_at_once_one_leads() -> None:
    server = Leases()
    candidates = [Candidate(server, name) for name in "abcdefgh"]
    await until(lambda: any(each.lease.is_held for each in candidates))
    await asyncio.sleep(0.05)
    assert [each.lease.is_held for each in candidates].count(True) == 1
    for each in candidates:
        await each.end()


async def test_a_write_that_comes_after_anothers_changes_nothing() -> None:
    server = Leases()
    async with led(server) as (a, _):
        await a.end()
        late, other = Candidate(server, "late"), Candidate(server, "other")
        await asyncio.sleep(0.05)
        server.slow = asyncio.Event()
        late.clock.now += 16
        other.clock.now += 16
        await asyncio.sleep(0.05)
        server.slow.set()
        await until(lambda: late.lease.is_held or other.lease.is_held)
        await asyncio.sleep(0.05)
        assert [late.lease.is_held, other.lease.is_held].count(True) == 1
        await late.end()
        await other.end()
