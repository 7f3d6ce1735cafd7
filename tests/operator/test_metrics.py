import re
from types import SimpleNamespace
from typing import Any, cast

from aiohttp.test_utils import TestClient, TestServer

from octavo_api.api_server import DEPLOYMENTS, EVENTS, INFERENCE_SERVICES, PODS, Resource
from octavo_api.informer import Informer
from octavo_api.names import Reason
from octavo_operator.health import Parts, health_app
from octavo_operator.metrics import Metrics
from octavo_operator.observed import GatewayKey, Key, ObjectKey
from octavo_operator.rollout_record import RolloutEnd
from octavo_operator.two_watches import TwoWatches
from octavo_operator.work_queue import WorkQueue

KEY = ObjectKey("team", "demo")


def samples(metrics: Metrics) -> dict[str, float]:
    """Without histograms' buckets and what Python tells of the process."""
    lines = metrics.page().decode().splitlines()
    parts = (line.rpartition(" ") for line in lines if line.startswith("octavo_operator_"))
    return {
        name: float(value) for name, _, value in parts if not re.search("_bucket|_created|_seconds_sum", name)
    }


def watched(resource: Resource, num_watches: int, phases: tuple[str | None, ...] = ()) -> Informer:
    items = [{"status": {"phase": phase}} if phase else {} for phase in phases]
    return cast(Informer, SimpleNamespace(resource=resource, num_watches=num_watches, all=lambda: items))


def test_visits_are_counted_by_kind_and_outcome_and_timed() -> None:
    metrics = Metrics()
    metrics.visited(KEY, "done", 0.002, 0.1)
    metrics.visited(KEY, "retry", 0.2, 0.3)
    metrics.visited(GatewayKey("team"), "error", 0.0, 0.1)
    found = samples(metrics)
    assert found['octavo_operator_reconciles_total{kind="InferenceService",outcome="done"}'] == 1
    assert found['octavo_operator_reconciles_total{kind="InferenceService",outcome="retry"}'] == 1
    assert found['octavo_operator_reconciles_total{kind="Gateway",outcome="error"}'] == 1
    assert found['octavo_operator_reconcile_seconds_count{kind="InferenceService"}'] == 2
    assert found["octavo_operator_queue_wait_seconds_count"] == 3


def test_requests_are_counted_by_what_roles_call_them() -> None:
    metrics = Metrics()
    metrics.api_answered("GET", PODS.path(), 200)
    metrics.api_answered("GET", PODS.path("team"), 200)
    metrics.api_answered("WATCH", DEPLOYMENTS.path(), 410)
    metrics.api_answered("GET", DEPLOYMENTS.path("team", "a"), 404)
    metrics.api_answered("PATCH", INFERENCE_SERVICES.path("team", "a", "status"), 200)
    metrics.api_answered("POST", EVENTS.path("namespaces"), 0)
    found = {name: value for name, value in samples(metrics).items() if "api_requests" in name}
    assert found == {
        'octavo_operator_api_requests_total{code="200",resource="pods",verb="list"}': 2,
        'octavo_operator_api_requests_total{code="410",resource="deployments",verb="watch"}': 1,
        'octavo_operator_api_requests_total{code="404",resource="deployments",verb="get"}': 1,
        'octavo_operator_api_requests_total{code="200",resource="inferenceservices/status",verb="patch"}': 1,
        'octavo_operator_api_requests_total{code="0",resource="events",verb="create"}': 1,
    }


def test_what_is_now_is_read_when_it_is_asked_for() -> None:
    metrics = Metrics()
    state = {"depth": 3, "leads": False}
    services = watched(INFERENCE_SERVICES, 1, ("Ready", "Ready", "Stalled", None))
    metrics.watch(
        queue_depth=lambda: int(state["depth"]),
        is_leader=lambda: bool(state["leads"]),
        informers=(watched(PODS, 3), watched(PODS, 1), watched(DEPLOYMENTS, 0), services),
        services=services,
    )
    assert samples(metrics) == {
        "octavo_operator_queue_wait_seconds_count": 0,
        "octavo_operator_queue_depth": 3,
        "octavo_operator_is_leader": 0,
        'octavo_operator_watch_restarts_total{resource="pods"}': 2,
        'octavo_operator_watch_restarts_total{resource="deployments"}': 0,
        'octavo_operator_watch_restarts_total{resource="inferenceservices"}': 0,
        'octavo_operator_inference_services{phase="Ready"}': 2,
        'octavo_operator_inference_services{phase="Stalled"}': 1,
        'octavo_operator_inference_services{phase="Pending"}': 1,
    }
    state["leads"] = True
    assert samples(metrics)["octavo_operator_is_leader"] == 1


def test_rollouts_are_counted_by_their_end_and_rollbacks_by_their_reason() -> None:
    metrics = Metrics()
    metrics.rollout_ended(RolloutEnd("complete"))
    metrics.rollout_ended(RolloutEnd("rolled_back", Reason.GATE_FAILED))
    found = samples(metrics)
    assert found['octavo_operator_rollouts_total{outcome="complete"}'] == 1
    assert found['octavo_operator_rollouts_total{outcome="rolled_back"}'] == 1
    assert found['octavo_operator_rollbacks_total{reason="GateFailed"}'] == 1


async def test_no_label_is_a_name_and_the_page_is_on_the_health_port() -> None:
    metrics = Metrics()
    metrics.visited(KEY, "done", 0.0, 0.1)
    metrics.api_answered("GET", PODS.path("team", "demo-0"), 200)

    async def visit(_: Key) -> float | None:
        return None

    queue = WorkQueue[Key](visit)
    nothing: Any = SimpleNamespace()
    parts = Parts(informers=(), queue=queue, watches=TwoWatches(nothing, queue.add))
    async with TestClient(TestServer(health_app(parts, metrics))) as client:
        response = await client.get("/metrics")
        page = await response.text()
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert "process_resident_memory_bytes" in page
    assert "team" not in page and "demo" not in page
