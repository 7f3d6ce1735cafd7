"""What kubelet, operator and Prometheus are told."""

import json
import time

import pytest
from aiohttp.test_utils import TestClient, TestServer
from gateway_manifests import known, pod

from octavo_gateway.activity import Activity
from octavo_gateway.admin import LONGEST_SILENCE, admin_app
from octavo_gateway.admission import Admission
from octavo_gateway.endpoints import Endpoints
from octavo_gateway.lifecycle import Lifecycle
from octavo_gateway.limits import Limiter
from octavo_gateway.metrics import Metrics
from octavo_gateway.routing import Load
from octavo_gateway.routing_table import RoutingTable


class Gateway:
    def __init__(self) -> None:
        self.endpoints = Endpoints(None, "n")  # type: ignore[arg-type]
        self.load = Load()
        self.lifecycle = Lifecycle(propagation_seconds=0.0, timeout_seconds=0.0)
        self.metrics, self.activity = Metrics(), Activity()

    async def get(self, path: str) -> tuple[int, str]:
        admission = Admission(self.endpoints, self.load, Limiter(), self.metrics, self.activity)
        parts = (self.endpoints, self.load, self.metrics, self.lifecycle, admission, self.activity)
        app = admin_app(*parts)
        async with TestClient(TestServer(app)) as client:
            response = await client.get(path)
            return response.status, await response.text()


async def test_it_is_alive_but_not_ready_before_it_has_looked() -> None:
    assert await Gateway().get("/healthz") == (200, "ok")
    assert await Gateway().get("/readyz") == (503, "listing")


async def test_it_is_ready_until_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    monkeypatch.setattr(Endpoints, "is_ready", True)
    assert await gateway.get("/readyz") == (200, "ok")
    await gateway.lifecycle.drain()
    assert await gateway.get("/readyz") == (503, "leaving")
    assert await gateway.get("/healthz") == (200, "ok")


async def test_a_watch_that_stands_still_is_no_life() -> None:
    gateway = Gateway()
    gateway.endpoints.informers[1].last_progress = time.monotonic() - LONGEST_SILENCE - 1
    status, text = await gateway.get("/healthz")
    assert status == 503 and "the watch of pods stands still" in text


async def test_every_engine_pod_is_listed_with_what_is_in_flight_to_it() -> None:
    gateway = Gateway()
    pods = [
        pod("a"),
        pod("b", annotations={"serving.octavo.dev/draining": "now"}),
        pod("c", ready="False"),
        pod("g", app="octavo-gateway"),
    ]
    gateway.endpoints.table = RoutingTable.of([known("demo")], pods, {"demo": "t"})
    (a,) = gateway.endpoints.table.endpoints["demo"]
    with gateway.load.open(a), gateway.load.open(a):
        assert await gateway.get("/endpoints") == (
            200,
            '{"synced": false, "pods": {'
            '"a": {"uid": "uid-a", "draining": false, "in_flight": 2}, '
            '"b": {"uid": "uid-b", "draining": true, "in_flight": 0}, '
            '"c": {"uid": "uid-c", "draining": false, "in_flight": 0}}}',
        )


async def test_metrics_are_in_prometheus_text() -> None:
    status, text = await Gateway().get("/metrics")
    assert status == 200 and "# TYPE octavo_gateway_requests_total counter" in text


async def test_traffic_is_told_by_service_with_whether_the_counters_began_anew() -> None:
    gateway = Gateway()
    gateway.endpoints.table = RoutingTable.of([known("demo")], [pod("a")], {"demo": "t"})
    gateway.metrics.finished("demo", "rev1", 200)
    status, text = await gateway.get("/traffic")
    said = json.loads(text)
    assert status == 200 and said["uptime_seconds"] >= 0
    assert said["services"]["demo"]["revisions"]["rev1"]["requests"] == 1
    _, again = await gateway.get("/traffic")
    assert json.loads(again)["instance"] != said["instance"]  # here every request meets another app
