"""A revision that cannot run is given up, whatever it was that it could not; what ran runs on."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from ended_engines import end_engine, pods_of_update
from fake_cluster import FakeCluster, cluster

from octavo_api.api_server import DEPLOYMENTS, PODS
from octavo_api.names import Reason
from octavo_operator.observed import Unresolved
from octavo_operator.work_queue import RetryLater

A, B = {"uri": "file:///a"}, {"uri": "file:///b"}


async def change_model(fake: FakeCluster, **spec: Any) -> None:
    """To one whose pods start and never become ready."""
    await fake.settle()
    fake.world.broken.add("/model/b")
    fake.write_service(model=B, **spec)
    await fake.settle()


async def gone_back(fake: FakeCluster, reason: str, words: str) -> None:
    before = {pod["metadata"]["name"] for pod in fake.world.pods()}
    before -= {pod["metadata"]["name"] for pod in pods_of_update(fake)}
    await fake.settle()
    failure = fake.service["status"]["rollout"]["failure"]
    assert (failure["reason"], words in failure["message"]) == (reason, True)
    assert fake.condition("Stalled") == ("True", "RolledBack")
    assert fake.condition("Ready") == ("False", "RolledBack")
    assert fake.condition("Available") == ("True", "Available")
    assert {pod["metadata"]["name"] for pod in fake.world.pods()} == before, "what served was touched"
    assert fake.server.events[-1] == "RolledBack"


async def test_what_its_preflight_refuses_never_gets_a_pod() -> None:
    async with cluster() as fake:
        fake.world.checks["/model/b"] = (66, "needs 9 GiB, has 1 GiB")
        await change_model(fake)
        await gone_back(fake, "OutOfMemory", "needs 9 GiB, has 1 GiB")
        assert pods_of_update(fake) == []
        assert len(fake.server.of_kind("Deployment")) == 1


async def test_an_engine_that_says_it_cannot_is_believed_at_once() -> None:
    async with cluster() as fake:
        await change_model(fake)
        end_engine(fake, 65, restarts=1)
        await gone_back(fake, "InvalidModel", "words of the engine")


async def test_one_crash_is_bad_luck_and_three_are_a_loop() -> None:
    async with cluster() as fake:
        await change_model(fake)
        end_engine(fake, 1, restarts=2)
        await fake.settle()
        assert "failure" not in fake.service["status"]["rollout"]
        end_engine(fake, 1, restarts=3)
        await gone_back(fake, "CrashLoop", "(3 restarts)")


async def test_the_deadline_ends_it_with_what_was_waited_for() -> None:
    async with cluster(rollout={"progressDeadlineSeconds": 60}) as fake:
        await change_model(fake, rollout={"progressDeadlineSeconds": 60})
        fake.world.overdue.add(fake.service["status"]["rollout"]["revision"])
        await gone_back(fake, "ProgressDeadlineExceeded", "progressDeadlineSeconds (60): ")


async def test_a_first_revision_has_nothing_to_go_back_to() -> None:
    async with cluster(model=B, replicas=1) as fake:
        fake.world.broken.add("/model/b")
        await fake.settle()
        end_engine(fake, 65, restarts=5)
        await fake.settle()
        assert fake.condition("Stalled") == ("True", "InvalidModel")
        assert "failure" not in fake.service["status"]["rollout"]


async def test_a_stable_revision_that_somebody_deleted_is_no_way_back() -> None:
    async with cluster() as fake:
        await fake.settle()
        stable = fake.service["status"]["rollout"]["stableRevision"]
        fake.world.broken.add("/model/b")
        fake.write_service(model=B)
        await fake.settle()
        fake.server.remove(DEPLOYMENTS.path("team", f"demo-{stable}"))
        end_engine(fake, 65, restarts=5)
        await fake.settle()
        assert fake.condition("Stalled") == ("True", "InvalidModel")


async def test_a_pod_that_never_becomes_ready_is_overdue_whatever_its_deployment_says() -> None:
    """A Deployment's own deadline ends with its first completion, and one of no replicas is complete."""
    rollout = {"progressDeadlineSeconds": 60, "strategy": "Replace"}
    async with cluster(rollout=rollout) as fake:
        await change_model(fake, rollout=rollout)
        assert "failure" not in fake.service["status"]["rollout"]
        fake.later += timedelta(seconds=61)
        await fake.settle()
        failure = fake.service["status"]["rollout"]["failure"]
        assert failure["reason"] == "ProgressDeadlineExceeded"
        assert fake.condition("Available") == ("True", "Available")


async def test_where_the_stable_revision_is_deleted_what_failed_is_all_that_is_left() -> None:
    async with cluster() as fake:
        await change_model(fake)
        stable = fake.service["status"]["rollout"]["stableRevision"]
        end_engine(fake, 65, restarts=1)
        await fake.visit()
        assert "failure" in fake.service["status"]["rollout"]
        fake.server.remove(DEPLOYMENTS.path("team", f"demo-{stable}"))
        fake.world.broken.clear()
        await fake.settle()
        assert fake.condition("Available") == ("True", "Available")


async def test_an_older_crd_that_forgets_the_rollout_is_told_and_not_written_in_a_loop() -> None:
    async with cluster() as fake:
        fake.server.pruned.add("rollout")
        with pytest.raises(RetryLater, match="kubectl apply -k crds"):
            await fake.visit()


async def test_a_service_back_from_zero_serves_with_what_it_has_while_its_model_is_unresolved() -> None:
    async with cluster() as fake:
        await fake.settle()
        fake.write_service(model=A, replicas=0)
        await fake.settle()
        fake.commit = Unresolved(Reason.MODEL_FETCH_FAILED, "no answer", terminal=False)
        fake.write_service(model={"uri": "hf://org/name"}, replicas=1)
        await fake.settle()
        assert fake.condition("Available") == ("True", "Available")


async def test_what_it_went_back_to_is_kept_as_it_was_recorded() -> None:
    async with cluster() as fake:
        await change_model(fake)
        stable = fake.service["status"]["rollout"]["stableRevision"]
        path = DEPLOYMENTS.path("team", f"demo-{stable}")
        before = copy.deepcopy(fake.server.objects[path])
        end_engine(fake, 65, restarts=1)
        await fake.settle()
        drifted = copy.deepcopy(fake.server.objects[path])
        drifted["spec"]["template"]["spec"]["containers"][0]["image"] = "somebody/elses:1"
        fake.server.put(path, drifted)
        await fake.visit()
        after = fake.server.objects[path]
        assert (after["spec"], after["metadata"]["annotations"]) == (
            before["spec"],
            before["metadata"]["annotations"],
        )


async def test_it_is_rolled_back_only_when_what_it_went_back_to_serves() -> None:
    only = {"accelerator": {}, "rollout": {"strategy": "Replace"}}
    async with cluster(**only) as fake:
        fake.world.accelerators = 1
        await change_model(fake, **only)
        end_engine(fake, 65, restarts=1)
        seen = set()
        for _ in range(20):
            await fake.visit()
            seen.add((fake.condition("Stalled"), fake.condition("Available")[0]))
            fake.world.step()
        assert seen == {
            (("True", "RollingBack"), "False"),
            (("True", "RolledBack"), "True"),
        }


async def test_a_moment_of_being_ready_between_two_crashes_proves_nothing() -> None:
    only = {"accelerator": {}, "rollout": {"strategy": "Replace"}}
    async with cluster(**only) as fake:
        fake.world.accelerators = 1
        await change_model(fake, **only)
        stable = fake.service["status"]["rollout"]["stableRevision"]
        (pod,) = pods_of_update(fake)
        now = fake.world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        pod["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": now}]
        pod["status"]["containerStatuses"][0]["restartCount"] = 1
        fake.server.changed(PODS.path("team", pod["metadata"]["name"]))
        fake.world.step()
        wait = await fake.visit()
        assert fake.service["status"]["rollout"]["stableRevision"] == stable
        assert wait is not None and wait <= 15
        fake.later += timedelta(seconds=16)
        await fake.visit()
        assert fake.service["status"]["rollout"]["stableRevision"] != stable
