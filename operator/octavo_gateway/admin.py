"""The admin port: what the kubelet, Prometheus and the operator ask. Never open to clients."""

import time
from typing import Any

from aiohttp import web

from octavo_api.informer import LONGEST_WAIT, SILENT_AFTER
from octavo_api.names import PATH_ENDPOINTS, PATH_METRICS
from octavo_gateway.endpoints import Endpoints
from octavo_gateway.lifecycle import Lifecycle
from octavo_gateway.metrics import Metrics
from octavo_gateway.routing import Load

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


def admin_app(endpoints: Endpoints, load: Load, metrics: Metrics, lifecycle: Lifecycle) -> web.Application:
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

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get(PATH_METRICS, metrics_page)
    app.router.add_get(PATH_ENDPOINTS, endpoints_page)
    return app
