"""Whole visits of services with an autoscaler, on an API server in memory."""

from datetime import timedelta
from typing import Any

from fake_cluster import KEY, FakeCluster, cluster

from octavo_api.api_server import INFERENCE_SERVICES, POD_AUTOSCALERS, SCALED_OBJECTS
from octavo_operator.gateway_reports import GatewayPod
from octavo_operator.observed import ObjectKey, OperatorDefaults
from octavo_operator.traffic import TrafficReport

AUTOSCALING = {"maxReplicas": 4}
TO_ZERO = {"minReplicas": 0, "maxReplicas": 4, "idleSeconds": 60}
HPA, SCALED_OBJECT = POD_AUTOSCALERS.path(*KEY), SCALED_OBJECTS.path(*KEY)
KEDA = {"provider": "KEDA"} | AUTOSCALING


def rewrite(fake: FakeCluster, **spec: Any) -> None:
    """As a user's apply does: replicas stay what they are."""
    fake.write_service(replicas=fake.service["spec"].get("replicas", 1), **spec)


def kinds(fake: FakeCluster) -> set[str]:
    return {item["kind"] for item in fake.server.objects.values()} & {
        "HorizontalPodAutoscaler",
        "ScaledObject",
    }


def with_prometheus(fake: FakeCluster) -> None:
    fake.defaults = OperatorDefaults(
        engine_image="octavo/engine:1", model_root="/srv", prometheus_url="http://p"
    )
    fake.server.apis.add("keda.sh/v1alpha1")


async def test_an_autoscaler_comes_and_goes_with_the_spec() -> None:
    async with cluster(autoscaling=AUTOSCALING) as fake:
        await fake.settle()
        assert kinds(fake) == {"HorizontalPodAutoscaler"}
        assert fake.service["status"]["autoscaler"] == "HorizontalPodAutoscaler"
        assert fake.condition("AutoscalingActive") == ("Unknown", "AutoscalerStarting")
        rewrite(fake)
        await fake.settle()
        assert kinds(fake) == set()
        assert "autoscaler" not in fake.service["status"]


async def test_what_an_hpa_writes_at_each_sync_makes_the_operator_write_nothing() -> None:
    async with cluster(autoscaling=AUTOSCALING) as fake:
        await fake.settle()
        for usage in range(2, 12):
            hpa = fake.server.objects[HPA]
            value = {"averageValue": f"{usage}0m"}
            metric = {"pods": {"metric": {"name": "octavo_kv_cache_usage"}, "current": value}}
            active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}
            hpa["status"] = {"desiredReplicas": 1, "conditions": [active], "currentMetrics": [metric]}
            fake.server.changed(HPA)
            await fake.visit()
            if usage == 2:
                before = list(fake.server.writes)
        assert fake.condition("AutoscalingActive") == ("True", "ScalingActive")
        assert fake.server.writes == before


async def test_replicas_that_an_hpa_sets_stay() -> None:
    async with cluster(autoscaling=AUTOSCALING) as fake:
        await fake.settle()
        fake.write_service(replicas=3, autoscaling=AUTOSCALING)
        await fake.settle()
        assert fake.service["spec"]["replicas"] == 3
        assert fake.world.available() == 3


async def test_while_a_rollout_runs_no_replica_is_taken_away() -> None:
    async with cluster(autoscaling=AUTOSCALING) as fake:
        await fake.settle()
        policies = []
        rewrite(fake, model={"uri": "file:///b"}, autoscaling=AUTOSCALING)
        for _ in range(20):
            fake.world.step()
            await fake.visit()
            policies.append(fake.server.objects[HPA]["spec"]["behavior"]["scaleDown"]["selectPolicy"])
        assert "Disabled" in policies
        assert policies[-1] == "Max"


async def test_another_provider_replaces_the_autoscaler() -> None:
    async with cluster(autoscaling=AUTOSCALING) as fake:
        with_prometheus(fake)
        await fake.restart()
        await fake.settle()
        rewrite(fake, autoscaling=KEDA)
        await fake.settle()
        assert kinds(fake) == {"ScaledObject"}
        order = [write for write in fake.server.writes if "HorizontalPod" in write or "ScaledObject" in write]
        # KEDA refuses a target that another HPA scales. The HPA follows the start time, once that is known.
        assert list(dict.fromkeys(order)) == [
            "apply HorizontalPodAutoscaler",
            "delete HorizontalPodAutoscaler",
            "apply ScaledObject",
        ]
        assert fake.service["status"]["autoscaler"] == "ScaledObject"
        rewrite(fake, autoscaling=AUTOSCALING)
        await fake.settle()
        assert kinds(fake) == {"HorizontalPodAutoscaler"}
        rewrite(fake, autoscaling=KEDA)
        await fake.settle()
        rewrite(fake)
        await fake.settle()
        assert kinds(fake) == set()


async def test_a_scaled_object_that_a_dead_operator_made_is_found() -> None:
    async with cluster(autoscaling=KEDA) as fake:
        with_prometheus(fake)
        await fake.restart()
        await fake.settle()
        rewrite(fake)
        del fake.service["status"]["autoscaler"]
        await fake.restart()
        await fake.settle()
        assert kinds(fake) == set()


async def test_without_keda_nothing_is_made_and_the_condition_says_so() -> None:
    async with cluster(autoscaling=KEDA) as fake:
        with_prometheus(fake)
        fake.server.apis.clear()
        await fake.restart()
        await fake.settle()
        assert kinds(fake) == set()
        assert fake.condition("AutoscalingActive") == ("False", "KEDANotInstalled")
        assert await fake.visit() == 30.0
        fake.server.apis.add("keda.sh/v1alpha1")
        fake.later += timedelta(seconds=31)
        await fake.settle()
        assert kinds(fake) == {"ScaledObject"}


async def test_a_service_without_an_autoscaler_is_asked_for_keda_once() -> None:
    async with cluster() as fake:
        with_prometheus(fake)
        await fake.restart()
        await fake.settle()
        assert fake.server.num_reads["ScaledObject"] == 1


async def idle(fake: FakeCluster) -> None:
    """Serving, and not asked for anything since."""
    fake.world.add_gateway("g-1")
    await fake.settle()
    fake.later += timedelta(seconds=61)
    fake.world.idle_seconds = 61.0


async def test_a_service_goes_to_zero_and_a_request_brings_it_back() -> None:
    async with cluster(autoscaling=TO_ZERO) as fake:
        await idle(fake)
        await fake.settle()
        assert fake.service["spec"]["replicas"] == 0
        assert fake.world.pods() == []
        assert fake.condition("AutoscalingActive") == ("True", "ScaledToZero")
        assert fake.server.events == ["ScaledToZero", "DrainStarted"]
        writes = list(fake.server.writes)
        await fake.visit()
        assert fake.server.writes == writes

        fake.world.waiting, fake.world.idle_seconds = 1, 0.0
        await fake.settle()
        assert fake.service["spec"]["replicas"] == 1
        assert fake.world.available() == 1
        assert fake.server.events[-1] == "WokenUp"


async def test_it_is_visited_again_when_it_can_have_been_idle_for_long_enough() -> None:
    async with cluster(autoscaling=TO_ZERO) as fake:
        fake.world.add_gateway("g-1")
        await fake.settle()
        fake.later += timedelta(seconds=200)
        fake.world.idle_seconds = 20.0
        assert await fake.visit() == 40.0


async def test_a_request_that_comes_between_the_look_and_the_step_to_zero_keeps_it() -> None:
    async with cluster(autoscaling=TO_ZERO) as fake:
        await idle(fake)
        ask = fake.world.ask_traffic

        async def ask_before_it_comes(gateways: tuple[GatewayPod, ...]) -> tuple[TrafficReport, ...]:
            told = await ask(gateways)
            fake.world.waiting = 1
            return told

        fake.world.ask_traffic = ask_before_it_comes  # type: ignore[method-assign]
        await fake.restart()
        await fake.visit()
        assert fake.service["spec"].get("replicas", 1) == 1


async def test_a_scale_that_somebody_else_sets_meanwhile_stays() -> None:
    async with cluster(autoscaling=TO_ZERO) as fake:
        await idle(fake)
        await fake.settle()
        fake.world.waiting = 1
        get = fake.server.get

        async def get_and_scale(*path: Any) -> Any:
            found = await get(*path)
            if path[0] == INFERENCE_SERVICES:
                fake.server.get = get  # type: ignore[method-assign]
                fake.write_service(replicas=3, autoscaling=TO_ZERO)
            return found

        fake.server.get = get_and_scale  # type: ignore[method-assign]
        try:
            await fake.visit()
        except Exception as error:
            assert "409" in str(error)
        assert fake.service["spec"]["replicas"] == 3


async def test_sleepers_are_watched_without_a_visit_and_only_while_they_sleep() -> None:
    async with cluster(autoscaling=TO_ZERO) as fake:
        woken: list[ObjectKey] = []
        await idle(fake)
        await fake.settle()
        await fake.autoscalers.look_at_sleepers(woken.append)
        assert woken == []
        fake.world.waiting = 2
        await fake.autoscalers.look_at_sleepers(woken.append)
        assert woken == [KEY]
        await fake.settle()
        await fake.autoscalers.look_at_sleepers(woken.append)
        assert woken == [KEY]
