"""Whole visits on an API server in memory: what is there at the end, not how it came about."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from fake_cluster import KEY, cluster

from octavo_api.api_server import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    INFERENCE_SERVICES,
    SERVICES,
    ApiError,
)
from octavo_operator.attempts import REFUSED_AGAIN_SECONDS
from octavo_operator.observed import OperatorDefaults
from octavo_operator.work_queue import RetryLater


async def test_a_new_service_is_served_and_ready() -> None:
    async with cluster() as fake:
        await fake.settle()
        kinds = sorted(kind for kind, name, _ in fake.end_state() if name != "octavo-gateway")
        own = ["Deployment", "InferenceService", "Pod", "PodDisruptionBudget", "Secret", "Service"]
        assert kinds == own
        assert fake.condition("Ready") == ("True", "Ready")


async def test_a_visit_with_nothing_to_do_writes_nothing() -> None:
    async with cluster() as fake:
        await fake.settle()
        before = list(fake.server.writes)
        for _ in range(20):
            await fake.visit()
            await fake.visit_gateway()
        await fake.restart()
        await fake.visit_gateway()
        await fake.visit()
        assert fake.server.writes == before


@pytest.mark.parametrize("resource", [DEPLOYMENTS, SERVICES, DISRUPTION_BUDGETS])
async def test_a_deleted_child_comes_back(resource: Any) -> None:
    async with cluster() as fake:
        await fake.settle()
        (child,) = fake.server.of_kind(resource.kind)
        fake.server.remove(resource.path(KEY.namespace, child["metadata"]["name"]))
        before = len(fake.server.writes)
        await fake.settle()
        assert fake.server.writes[before] == f"apply {resource.kind}"
        assert [item["metadata"]["name"] for item in fake.server.of_kind(resource.kind)] == [
            child["metadata"]["name"]
        ]


async def test_drift_is_repaired() -> None:
    async with cluster() as fake:
        await fake.settle()
        path = SERVICES.path(*KEY)
        drifted = fake.server.objects[path] | {"spec": {"selector": {"x": "y"}}}
        fake.server.put(path, drifted)
        await fake.visit()
        assert fake.server.objects[path]["spec"]["selector"] == {"app.kubernetes.io/name": "octavo-gateway"}


async def test_a_new_model_replaces_the_old_one_after_it_is_ready() -> None:
    async with cluster() as fake:
        await fake.settle()
        (old,) = fake.server.of_kind("Deployment")
        fake.write_service(model={"uri": "file:///b"})
        await fake.visit()
        await fake.visit()
        assert fake.world.available() == 1
        assert fake.condition("Available") == ("True", "Available")
        await fake.settle()
        old, new = sorted(fake.server.of_kind("Deployment"), key=lambda item: item["spec"]["replicas"])
        assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, 1)
        assert "/b" in str(new["spec"])
        assert fake.condition("Ready") == ("True", "Ready")
        assert fake.server.events == ["RolloutStarted", "DrainStarted", "RolloutCompleted"]


async def test_nothing_drains_on_the_word_of_a_late_cache() -> None:
    async with cluster() as fake:
        await fake.settle()
        fake.write_service(model={"uri": "file:///b"})
        await fake.visit()
        fake.world.step()
        fake.world.step()
        await fake.caches_are_current()
        # The new revision breaks, and the news has not reached the cache.
        young = fake.world.pods()[-1]
        young["status"]["conditions"][0]["status"] = "False"
        await fake.visit()
        assert not any("annotations" in pod["metadata"] for pod in fake.world.pods())


async def test_a_scale_down_waits_for_the_least_loaded_pod_and_cuts_nothing() -> None:
    async with cluster(replicas=3) as fake:
        for number in range(2):
            fake.world.add_gateway(f"gateway-{number}")
        await fake.settle()
        names = [pod["metadata"]["name"] for pod in fake.world.pods()]
        fake.world.in_flight = {names[0]: 3, names[1]: 2, names[2]: 5}
        fake.write_service(replicas=2)
        assert await fake.visit() == 0.5
        assert "draining pod" in str(fake.service["status"])
        await fake.settle()
        assert [pod["metadata"]["name"] for pod in fake.world.pods()] == [names[0], names[2]]
        assert fake.world.cut == []
        assert fake.server.events == ["DrainStarted"]


async def test_requests_that_outlast_the_drain_are_told() -> None:
    async with cluster() as fake:
        fake.world.add_gateway("gateway-0")
        await fake.settle()
        fake.world.in_flight = {fake.world.pods()[0]["metadata"]["name"]: 1000}
        fake.write_service(replicas=0)
        await fake.visit()
        await fake.visit()
        assert len(fake.world.pods()) == 1
        fake.later = timedelta(seconds=301)
        await fake.settle()
        assert fake.world.pods() == []
        assert fake.server.events == ["DrainStarted", "DrainTimedOut"]


async def test_an_upgraded_operator_writes_nothing() -> None:
    async with cluster() as fake:
        await fake.settle()
        before = list(fake.server.writes)
        fake.defaults = OperatorDefaults(engine_image="octavo/engine:2", model_root="/elsewhere")
        await fake.restart()
        await fake.visit()
        assert fake.server.writes == before


async def test_somebody_elses_service_of_the_same_name_is_never_touched() -> None:
    async with cluster() as fake:
        theirs = {"kind": "Service", "metadata": {"namespace": "team", "name": "demo"}, "spec": {"a": 1}}
        fake.server.put(SERVICES.path(*KEY), theirs)
        before = dict(fake.server.objects[SERVICES.path(*KEY)])
        await fake.settle()
        assert fake.server.objects[SERVICES.path(*KEY)] == before
        assert fake.condition("Ready") == ("False", "NameTaken")
        assert fake.condition("Stalled") == ("True", "NameTaken")
        assert len(fake.server.of_kind("Deployment")) == 1


async def test_the_gateways_deployment_is_never_taken_for_an_old_revision() -> None:
    async with cluster() as fake:
        await fake.settle()
        (before,) = fake.server.of_gateway("Deployment")
        fake.write_service(model={"uri": "file:///b"}, rollout={"revisionHistoryLimit": 0})
        await fake.settle()
        assert len(fake.server.of_kind("Deployment")) == 1
        (after,) = fake.server.of_gateway("Deployment")
        assert after["spec"] == before["spec"]


async def test_a_leftover_of_a_deleted_namesake_is_waited_for() -> None:
    async with cluster() as fake:
        await fake.settle()
        fake.server.remove(INFERENCE_SERVICES.path(*KEY))
        fake.write_service()
        with pytest.raises(RetryLater, match="deleted namesake"):
            await fake.visit()
        for item in list(fake.server.objects):
            if "inferenceservices" not in item:
                fake.server.remove(item)
        await fake.settle()
        assert fake.condition("Ready") == ("True", "Ready")


async def test_a_deleted_service_is_forgotten_and_one_in_deletion_left_alone() -> None:
    async with cluster() as fake:
        await fake.settle()
        fake.service["metadata"]["deletionTimestamp"] = "2026-11-01T12:00:00Z"
        fake.server.remove(SERVICES.path(*KEY))
        before = list(fake.server.writes)
        assert await fake.visit() is None
        fake.server.remove(INFERENCE_SERVICES.path(*KEY))
        assert await fake.visit() is None
        assert fake.server.writes == before


async def test_a_refused_child_is_told_and_the_others_are_made() -> None:
    async with cluster() as fake:
        refusal = ApiError(422, "Invalid", "spec.template.spec.tolerations[0]: bad")
        fake.server.failures["Deployment"] = [refusal]
        await fake.visit()
        assert fake.condition("EngineReady") == ("False", "AdmissionRefused")
        assert fake.condition("Stalled") == ("True", "AdmissionRefused")
        assert len(fake.server.of_kind("PodDisruptionBudget")) == 1


@pytest.mark.parametrize(("status", "is_soon"), [(403, True), (422, False)])
async def test_what_a_role_or_a_quota_refuses_is_tried_again_soon_and_what_is_invalid_is_not(
    status: int, is_soon: bool
) -> None:
    async with cluster() as fake:
        await fake.settle()
        fake.server.failures["Service"] = [ApiError(status, "Refused", "no")]
        fake.server.remove(SERVICES.path(*KEY))
        after = await fake.visit()
        assert after is not None and (after <= REFUSED_AGAIN_SECONDS) == is_soon


@pytest.mark.parametrize("status", [0, 409, 429])
async def test_conflict_and_throttling_are_tried_again_and_not_told(status: int) -> None:
    async with cluster() as fake:
        fake.server.failures["Service"] = [ApiError(status, "x", "y", retry_after=7.0)]
        with pytest.raises(RetryLater) as raised:
            await fake.visit()
        assert raised.value.seconds == 7.0
        assert len(fake.server.of_kind("Deployment")) == 1
        await fake.settle()
        assert fake.condition("Ready") == ("True", "Ready")


async def test_a_broken_webhook_is_told_and_tried_again() -> None:
    async with cluster() as fake:
        fake.server.failures["Deployment"] = [ApiError(500, "InternalError", "failed calling webhook")]
        with pytest.raises(RetryLater):
            await fake.visit()
        assert fake.condition("EngineReady")[0] == "False"
        assert all(item["type"] != "Stalled" for item in fake.service["status"]["conditions"])


async def test_a_spec_that_slipped_past_the_schema_is_stalled() -> None:
    async with cluster(model={"uri": "ftp://x"}) as fake:
        await fake.visit()
        assert fake.condition("Stalled") == ("True", "InvalidSpec")
        assert fake.server.writes == ["apply InferenceService status"]


async def test_an_hf_model_is_pinned_to_its_commit() -> None:
    async with cluster(model={"uri": "hf://org/name@main"}) as fake:
        await fake.visit()
        assert fake.condition("ModelReady") == ("Unknown", "ResolvingModel")
        await asyncio.sleep(0.05)
        await fake.settle()
        (deployment,) = fake.server.of_kind("Deployment")
        args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        assert f"hf://org/name@{'c' * 40}" in args
        assert fake.service["status"]["model"] == {"commit": "c" * 40}
