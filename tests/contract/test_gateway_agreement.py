"""Gateway and operator, each with its real half of their HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from gateway_manifests import known, pod

from octavo_engine.server.metrics import TOKEN_LATENCY_BUCKETS, TTFT_BUCKETS
from octavo_gateway.activity import Activity
from octavo_gateway.admin import admin_app
from octavo_gateway.admission import Admission
from octavo_gateway.durations import FIRST_TOKEN, PER_TOKEN
from octavo_gateway.endpoints import Endpoints
from octavo_gateway.lifecycle import Lifecycle
from octavo_gateway.limits import Limiter
from octavo_gateway.metrics import Metrics
from octavo_gateway.routing import Load
from octavo_gateway.routing_table import RoutingTable
from octavo_operator.gateway_client import ask_gateways, ask_traffic
from octavo_operator.gateway_reports import EndpointReport, GatewayPod
from octavo_operator.traffic import Histogram

HERE = (GatewayPod("g", "127.0.0.1"),)


@asynccontextmanager
async def admin_port(metrics: Metrics) -> AsyncIterator[int]:
    endpoints, load, activity = Endpoints(None, "n"), Load(), Activity()  # type: ignore[arg-type]
    endpoints.table = RoutingTable.of([known("demo")], [pod("a")], {"demo": "t"})
    activity.meet(endpoints.table.services)
    admission = Admission(endpoints, load, Limiter(), metrics, activity)
    lifecycle = Lifecycle(propagation_seconds=0.0, timeout_seconds=0.0)
    runner = web.AppRunner(admin_app(endpoints, load, metrics, lifecycle, admission, activity))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


async def test_the_operator_reads_what_the_gateway_tells_of_traffic() -> None:
    metrics = Metrics()
    for status in (200, 200, 500):
        metrics.finished("demo", "rev1", status)
    metrics.retried("demo", "rev1", "reset")
    for _ in range(3):
        metrics.first_token("demo", "rev1", 0.5)
    async with admin_port(metrics) as port:
        (report,) = await ask_traffic(HERE, port)
        (again,) = await ask_traffic(HERE, port)
    assert report.services is not None
    demo = report.services["demo"]
    rev1 = demo.revisions["rev1"]
    assert (demo.waiting, demo.idle_seconds < 5, rev1.requests, rev1.errors) == (0, True, 4, 2)
    assert (rev1.ttft.total, rev1.tpot) == (3, Histogram())
    assert again.instance == report.instance and again.uptime_seconds >= report.uptime_seconds


async def test_the_operator_reads_what_the_gateway_tells_of_its_endpoints() -> None:
    async with admin_port(Metrics()) as port:
        (report,) = await ask_gateways(HERE, port)
    assert report.endpoints == {"a": EndpointReport(uid="uid-a", draining=False, in_flight=0)}


def test_gateway_and_engine_measure_latencies_in_the_same_buckets() -> None:
    assert (FIRST_TOKEN.coarse, PER_TOKEN.coarse) == (TTFT_BUCKETS, TOKEN_LATENCY_BUCKETS)
