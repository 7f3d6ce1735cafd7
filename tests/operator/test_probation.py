"""A revision that had replaced another is given up when it crashes again and again soon after."""

from datetime import timedelta
from typing import Any

import pytest
from ended_engines import end_engine, pods_of_update
from fake_cluster import FakeCluster, cluster

A, B = {"uri": "file:///a"}, {"uri": "file:///b"}


async def replaced(fake: FakeCluster, **spec: Any) -> str:
    """The revision that a good one has just replaced."""
    await fake.settle()
    before: str = fake.service["status"]["rollout"]["stableRevision"]
    fake.write_service(model=B, **spec)
    await fake.settle()
    assert fake.condition("Ready") == ("True", "Ready")
    return before


async def test_one_that_crashes_again_and_again_soon_after_its_rollout_is_given_up_too() -> None:
    async with cluster() as fake:
        before = await replaced(fake)
        end_engine(fake, 1, restarts=2)
        await fake.visit()
        assert "failure" not in fake.service["status"]["rollout"]
        end_engine(fake, 1, restarts=3)
        await fake.settle()
        record = fake.service["status"]["rollout"]
        assert (record["failure"]["reason"], record["stableRevision"]) == ("CrashLoop", before)
        assert fake.condition("Stalled") == ("True", "RolledBack")
        assert fake.condition("Available") == ("True", "Available")
        assert pods_of_update(fake) == []
        assert fake.server.events.count("RolledBack") == 1


async def test_its_pods_serve_until_others_have_taken_their_place() -> None:
    async with cluster(replicas=4) as fake:
        before = await replaced(fake, replicas=4)
        end_engine(fake, 1, restarts=3, of=2)
        seen = []
        for _ in range(40):
            await fake.visit()
            fake.world.step()
            seen.append(fake.world.available())
        assert min(seen) >= 4
        assert fake.service["status"]["rollout"]["stableRevision"] == before
        assert pods_of_update(fake) == []


async def test_on_the_only_accelerator_it_makes_room_for_what_went_before() -> None:
    auto = {"accelerator": {}, "rollout": {"strategy": "Auto"}}
    async with cluster(**auto) as fake:
        before = await replaced(fake, **auto)
        fake.world.accelerators = 1
        end_engine(fake, 1, restarts=3)
        await fake.settle()
        fake.later += timedelta(seconds=31)
        await fake.settle()
        record = fake.service["status"]["rollout"]
        assert (record["stableRevision"], record["strategy"]) == (before, "Replace")
        assert fake.condition("Available") == ("True", "Available")
        assert "StrategyFallback" in fake.server.events


@pytest.mark.parametrize(
    ("spec", "seconds", "code", "of"),
    [
        ({"rollout": {"progressDeadlineSeconds": 60}}, 61, 1, 1),
        # With no history there is nothing to go back to.
        ({"rollout": {"revisionHistoryLimit": 0}}, 0, 1, 1),
        ({"rollout": {"autoRollback": False}}, 0, 1, 1),
        # A node's fault, in two ways.
        ({}, 0, 69, 1),
        ({"replicas": 3}, 0, 1, 1),
    ],
)
async def test_one_that_crashes_long_after_its_rollout_stays_and_so_it_does_where_it_is_no_fault_of_its_own(
    spec: dict[str, Any], seconds: int, code: int, of: int
) -> None:
    async with cluster(**spec) as fake:
        await replaced(fake, **spec)
        fake.later += timedelta(seconds=seconds)
        end_engine(fake, code, restarts=3, of=of)
        await fake.settle()
        assert "failure" not in fake.service["status"]["rollout"]


async def test_crashes_before_its_rollout_was_over_are_not_counted_against_it_afterwards() -> None:
    async with cluster() as fake:
        await fake.settle()
        fake.world.broken.add("/model/b")
        fake.write_service(model=B, rollout={"autoRollback": False})
        await fake.settle()
        end_engine(fake, 1, restarts=3)
        fake.world.broken.clear()
        await fake.settle()
        fake.later += timedelta(seconds=60)
        await fake.settle()
        assert fake.service["status"]["rollout"]["completedAt"]
        (pod,) = pods_of_update(fake)
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 3
        fake.write_service(model=B)
        await fake.settle()
        assert "failure" not in fake.service["status"]["rollout"]


async def test_what_somebody_goes_back_to_by_hand_is_on_no_probation() -> None:
    async with cluster() as fake:
        await replaced(fake)
        fake.write_service(model=A)
        await fake.settle()
        assert "completedAt" not in fake.service["status"]["rollout"]
        end_engine(fake, 1, restarts=3)
        await fake.settle()
        assert "failure" not in fake.service["status"]["rollout"]


async def test_probation_outlives_a_change_that_is_taken_back() -> None:
    async with cluster() as fake:
        before = await replaced(fake)
        fake.write_service(model={"uri": "file:///c"})
        await fake.visit()
        fake.write_service(model=B)
        await fake.settle()
        end_engine(fake, 1, restarts=3)
        await fake.settle()
        assert fake.service["status"]["rollout"]["stableRevision"] == before


@pytest.mark.parametrize("text", ["yesterday", "2026-11-26T09:00:00", "9999-12-31T23:59:59Z"])
async def test_a_status_that_somebody_broke_stops_nothing(text: str) -> None:
    async with cluster() as fake:
        await replaced(fake)
        fake.service["status"]["rollout"]["completedAt"] = text
        await fake.settle()
        assert fake.condition("Ready") == ("True", "Ready")
