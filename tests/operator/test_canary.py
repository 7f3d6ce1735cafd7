"""Whole rollouts that judge themselves: promoted, held, given up, on an API server in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from fake_cluster import FakeCluster, cluster
from traffic_builders import figures

from octavo_api.names import Reason
from octavo_operator.observed import Unresolved

STEPS = [{"weightPercent": 10, "pauseSeconds": 60}, {"weightPercent": 50, "pauseSeconds": 60}]
GATE = {"maxErrorPercent": 1, "maxTTFTMilliseconds": 1000, "minRequests": 20}
CANARY = {"strategy": "Canary", "canary": {"steps": STEPS, "gate": GATE}}
A, B, C = {"uri": "file:///a"}, {"uri": "file:///b"}, {"uri": "file:///c"}
FAST, SLOW = [0.1] * 30, [3.0] * 30


@asynccontextmanager
async def rolling(rollout: dict[str, Any], replicas: int = 2, **spec: Any) -> AsyncIterator[FakeCluster]:
    """A cluster in which model b has been asked for after model a had been rolled out."""
    async with cluster(replicas=replicas, rollout=rollout, **spec) as fake:
        fake.world.add_gateway("gateway-1")
        await fake.settle()
        fake.write_service(model=B, replicas=replicas, rollout=rollout, **spec)
        await fake.settle()
        yield fake


def weights(fake: FakeCluster) -> list[int]:
    """Newest revision first."""
    return [item["weightPercent"] for item in fake.service["status"]["revisions"]]


def tell(fake: FakeCluster, new: Any, old: Any) -> None:
    """What the gateways count for both revisions from here on."""
    status = fake.service["status"]["rollout"]
    fake.world.traffic = {status["revision"]: new, status["stableRevision"]: old}


async def pass_time(fake: FakeCluster, seconds: float) -> None:
    fake.later += timedelta(seconds=seconds)
    await fake.settle()


async def test_a_good_canary_is_promoted_step_by_step() -> None:
    async with rolling(CANARY) as fake:
        assert weights(fake) == [10, 90]
        assert fake.condition("Progressing") == ("True", "CanaryStep")
        tell(fake, figures(30, ttft=FAST), figures(300, ttft=FAST))
        await pass_time(fake, 30)
        assert weights(fake) == [10, 90], "the step is not over"
        await pass_time(fake, 31)
        assert weights(fake) == [50, 50]
        tell(fake, figures(60, ttft=FAST * 2), figures(330, ttft=FAST))
        await pass_time(fake, 61)
        assert weights(fake) == [100]
        assert fake.condition("Ready") == ("True", "Ready")
        assert fake.server.events[-1] == "RolloutCompleted"
        assert {"CanaryStepPassed", "CanaryPromoted"} <= set(fake.server.events)


async def test_a_canary_that_is_not_there_yet_is_not_said_to_get_requests() -> None:
    async with cluster(rollout=CANARY) as fake:
        await fake.settle()
        fake.world.broken.add("/model/b")
        fake.write_service(model=B, rollout=CANARY)
        await fake.settle()
        conditions = {item["type"]: item["message"] for item in fake.service["status"]["conditions"]}
        assert weights(fake) == [0, 100]
        assert "10 % of the requests will go to revision" in conditions["Progressing"]
        fake.world.broken.clear()
        await fake.settle()
        conditions = {item["type"]: item["message"] for item in fake.service["status"]["conditions"]}
        assert "10 % of the requests go to revision" in conditions["Progressing"]


async def test_too_few_requests_hold_the_canary_for_ever() -> None:
    async with rolling(CANARY) as fake:
        tell(fake, figures(19, ttft=FAST[:19]), figures(300, ttft=FAST))
        before = len(fake.server.writes)
        for _ in range(5):
            await pass_time(fake, 600)
        assert weights(fake) == [10, 90]
        assert len(fake.server.writes) - before <= 1, "waiting is not told again and again"
        message = next(c for c in fake.service["status"]["conditions"] if c["type"] == "Progressing")[
            "message"
        ]
        assert "must answer 20 requests in this step" in message


@pytest.mark.parametrize(
    ("bad", "figure"),
    [(figures(30, ttft=SLOW), "TTFT p95"), (figures(30, 3, ttft=FAST), "errors 10.00 % of 30 requests")],
)
async def test_a_bad_canary_is_given_up_at_once_with_its_figures(bad: Any, figure: str) -> None:
    async with rolling(CANARY) as fake:
        before = {pod["metadata"]["name"] for pod in fake.world.pods()}
        tell(fake, bad, figures(300, ttft=FAST))
        await fake.settle()
        failure = fake.service["status"]["rollout"]["failure"]
        assert failure["reason"] == "GateFailed"
        assert figure in failure["message"]
        assert weights(fake) == [100]
        assert fake.condition("Stalled") == ("True", "RolledBack")
        assert fake.condition("Available")[0] == "True"
        assert fake.server.events.count("RolledBack") == 1
        assert len({pod["metadata"]["name"] for pod in fake.world.pods()} & before) >= 1
        assert fake.world.cut == []


async def test_what_failed_is_not_tried_again_before_the_spec_changes() -> None:
    async with rolling(CANARY) as fake:
        failed = fake.service["status"]["rollout"]["revision"]
        tell(fake, figures(30, ttft=SLOW), figures(300, ttft=FAST))
        await fake.settle()
        await fake.restart()
        await pass_time(fake, 3600)
        assert fake.condition("Stalled") == ("True", "RolledBack")
        fake.write_service(model=A, replicas=2, rollout=CANARY)
        await fake.settle()
        assert fake.condition("Ready") == ("True", "Ready")
        fake.write_service(model=B, replicas=2, rollout=CANARY)
        await fake.settle()
        assert fake.service["status"]["rollout"]["revision"] == failed
        assert fake.condition("Progressing") == ("True", "CanaryStep")


async def test_without_automatic_rollback_nothing_is_given_up() -> None:
    async with rolling({**CANARY, "autoRollback": False}) as fake:
        tell(fake, figures(30, ttft=SLOW), figures(300, ttft=FAST))
        await pass_time(fake, 600)
        assert weights(fake) == [10, 90]
        assert "failure" not in fake.service["status"]["rollout"]


async def test_the_step_begins_anew_when_the_operator_does() -> None:
    async with rolling(CANARY) as fake:
        tell(fake, figures(30, ttft=FAST), figures(300, ttft=FAST))
        await pass_time(fake, 59)
        await fake.restart()
        await pass_time(fake, 30)
        assert weights(fake) == [10, 90]


async def test_back_to_what_is_proved_is_no_canary() -> None:
    async with rolling(CANARY) as fake:
        fake.write_service(model=A, replicas=2, rollout=CANARY)
        await fake.settle()
        assert weights(fake) == [100]
        assert fake.condition("Ready") == ("True", "Ready")


async def test_auto_replaces_where_no_accelerator_is_free() -> None:
    async with cluster(replicas=1, accelerator={}) as fake:
        fake.world.add_gateway("gateway-1")
        fake.world.accelerators = 1
        await fake.settle()
        fake.write_service(model=B, replicas=1, accelerator={})
        await fake.settle()
        assert fake.server.events[-1] == "RolloutCompleted"
        assert "StrategyFallback" in fake.server.events
        assert fake.condition("Ready") == ("True", "Ready")
        assert fake.service["status"]["rollout"]["strategy"] == "Replace"


async def test_surge_waits_where_no_accelerator_is_free_and_says_for_what() -> None:
    async with cluster(replicas=1, accelerator={}) as fake:
        fake.world.add_gateway("gateway-1")
        fake.world.accelerators = 1
        await fake.settle()
        fake.write_service(model=B, replicas=1, accelerator={}, rollout={"strategy": "Surge"})
        await fake.settle()
        assert fake.condition("EngineReady") == ("False", "InsufficientAccelerator")
        assert fake.condition("Available") == ("True", "Available")


async def test_the_stable_revision_stays_whatever_the_history_limit() -> None:
    async with rolling({**CANARY, "revisionHistoryLimit": 0}) as fake:
        stable = fake.service["status"]["rollout"]["stableRevision"]
        fake.write_service(model=B, replicas=0, rollout={"revisionHistoryLimit": 0})
        await fake.settle()
        assert any(item["metadata"]["name"].endswith(stable) for item in fake.server.of_kind("Deployment"))


async def test_a_superseded_canary_gets_no_more_than_it_had() -> None:
    async with rolling(CANARY, replicas=1) as fake:
        assert weights(fake) == [10, 90]
        fake.world.checks["/model/c"] = (75, "the hub is away")
        fake.world.add_gateway("gateway-2")
        fake.write_service(model=C, replicas=1, rollout=CANARY)
        await fake.visit()
        assert weights(fake) == [10, 90]


async def test_an_unreachable_hub_leaves_a_canary_its_share() -> None:
    async with rolling(CANARY, replicas=1) as fake:
        fake.commit = Unresolved(Reason.MODEL_FETCH_FAILED, "no answer", terminal=False)
        fake.write_service(model={"uri": "hf://org/name"}, replicas=1, rollout=CANARY)
        await fake.settle()
        assert weights(fake) == [10, 90]


async def test_a_third_revision_is_a_canary_beside_the_stable_one_and_not_beside_the_second() -> None:
    async with rolling(CANARY, replicas=4) as fake:
        stable = fake.service["status"]["rollout"]["stableRevision"]
        fake.write_service(model=C, replicas=4, rollout=CANARY)
        await fake.settle()
        shares = {item["name"]: item["weightPercent"] for item in fake.service["status"]["revisions"]}
        assert shares == {stable: 90, fake.service["status"]["rollout"]["revision"]: 10}


async def test_what_failed_is_not_called_back_when_a_third_is_asked_for() -> None:
    async with rolling(CANARY, replicas=1) as fake:
        failed = fake.service["status"]["rollout"]["revision"]
        tell(fake, figures(30, ttft=SLOW), figures(300, ttft=FAST))
        await fake.visit()
        fake.write_service(model=C, replicas=3, rollout=CANARY)
        for _ in range(20):
            fake.world.step()
            await fake.visit()
            shares = {item["name"]: item["weightPercent"] for item in fake.service["status"]["revisions"]}
            assert shares.get(failed, 0) == 0


async def test_other_steps_go_on_above_what_has_been_passed() -> None:
    async with rolling(CANARY) as fake:
        tell(fake, figures(30, ttft=FAST), figures(300, ttft=FAST))
        await pass_time(fake, 61)
        assert weights(fake) == [50, 50]
        steps = [{"weightPercent": 20, "pauseSeconds": 60}]
        fake.write_service(model=B, replicas=2, rollout={**CANARY, "canary": {"steps": steps, "gate": GATE}})
        await fake.settle()
        assert weights(fake) == [20, 80]


async def test_under_other_rules_what_failed_is_tried_again() -> None:
    async with rolling(CANARY) as fake:
        tell(fake, figures(30, ttft=SLOW), figures(300, ttft=FAST))
        await fake.settle()
        assert fake.condition("Stalled") == ("True", "RolledBack")
        looser = {**CANARY, "canary": {"steps": STEPS, "gate": {**GATE, "maxTTFTMilliseconds": 9000}}}
        fake.write_service(model=B, replicas=2, rollout=looser)
        await fake.settle()
        assert fake.condition("Progressing") == ("True", "CanaryStep")


async def test_a_rollback_does_not_wait_for_the_end_of_a_pause() -> None:
    async with rolling(CANARY) as fake:
        fake.write_service(model=B, replicas=2, rollout={**CANARY, "paused": True})
        tell(fake, figures(30, ttft=SLOW), figures(300, ttft=FAST))
        await fake.settle()
        assert weights(fake) == [100]
        assert fake.condition("Stalled") == ("True", "RolledBack")
