"""The admin port: what the kubelet, Prometheus and the operator ask. Never open to clients."""

import time
import uuid
from typing import Any

import msgspec
from aiohttp import web

from octavo_api.informer import LONGEST_WAIT, SILENT_AFTER
from octavo_api.names import PATH_ENDPOINTS, PATH_METRICS, PATH_TRAFFIC
from octavo_gateway.activity import Activity
from octavo_gateway.admission import Admission
from octavo_gateway.endpoints import Endpoints
from octavo_gateway.lifecycle import Lifecycle
from octavo_gateway.metrics import Metrics
from octavo_gateway.routing import Load
from octavo_gateway.traffic import traffic

# Every watch hears something, or tries again, well within this, also when the API server is away.
LONGEST_SILENCE = 2 * SILENT_AFTER + LONGEST_WAIT


def troubles(endpoints: Endpoints, now: float) -> list[str]:
    """Empty when the watches make progress. An absent API server is not our trouble: the table stands."""
    return [
        f"the watch of {informer.resource.plural} stands still for {now - informer.last_progress:.0f} s"
        for informer in endpoints.informers
        if now - informer.last_progress > LONGEST_SILENCE
    ]


def acknowledgement(endpoints: Endpoints, load: Load) -> dict[str, Any]:
    """Of drains: every engine pod that we know, whether it gets no new requests, and what it still has."""
    return {
        "synced": endpoints.is_synced,
        "pods": {
            pod.name: {"uid": pod.uid, "draining": pod.is_leaving, "in_flight": load.in_flight(pod.uid)}
            for pod in endpoints.table.engines
        },
    }


def admin_app(
    endpoints: Endpoints,
    load: Load,
    metrics: Metrics,
    lifecycle: Lifecycle,
    admission: Admission,
    activity: Activity,
) -> web.Application:
    instance, started = uuid.uuid4().hex, time.monotonic()

    async def healthz(_: web.Request) -> web.Response:
        found = troubles(endpoints, time.monotonic())
        return web.Response(text="\n".join(found) or "ok", status=503 if found else 200)

    async def readyz(_: web.Request) -> web.Response:
        if lifecycle.is_leaving:
            return web.Response(text="leaving", status=503)
        is_ready = endpoints.is_ready
        return web.Response(text="ok" if is_ready else "listing", status=200 if is_ready else 503)

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"content-type": "text/plain; version=0.0.4"})

    async def endpoints_page(_: web.Request) -> web.Response:
        return web.json_response(acknowledgement(endpoints, load))

    async def traffic_page(_: web.Request) -> web.Response:
        report = {
            # Whether the counters are those of last time, or began anew.
            "instance": instance,
            "uptime_seconds": round(time.monotonic() - started, 3),
            "services": traffic(endpoints.table.services, admission.waiting(), activity, metrics.tallies),
        }
        return web.Response(body=msgspec.json.encode(report), content_type="application/json")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get(PATH_METRICS, metrics_page)
    app.router.add_get(PATH_ENDPOINTS, endpoints_page)
    app.router.add_get(PATH_TRAFFIC, traffic_page)
    return app
