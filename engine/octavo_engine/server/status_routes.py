"""What a cluster asks of the server: is it alive, is it ready, how is it doing, let it drain."""

import ipaddress

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from octavo_engine.server.errors import Forbidden
from octavo_engine.server.lifecycle import Lifecycle
from octavo_engine.server.metrics import Metrics


def health(lifecycle: Lifecycle, stall_seconds: float) -> Response:
    """Alive is: the engine makes progress on the work it has. Loading is alive."""
    model = lifecycle.loaded_model
    stalled = 0.0 if model is None else model.engine.seconds_without_progress()
    if stalled > stall_seconds:
        return _json(503, {"status": "stuck", "seconds_without_progress": round(stalled, 1)})
    return _json(200, {"status": "alive"})


def ready(lifecycle: Lifecycle) -> Response:
    if lifecycle.is_ready:
        return _json(200, {"status": "ready"})
    status = "loading" if lifecycle.phase == "loading" else "draining"
    return _json(503, {"status": status}, {"retry-after": "5"})


def metrics_page(request: Request, metrics: Metrics) -> Response:
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(metrics.registry), headers={"content-type": content_type})


async def drain(request: Request, lifecycle: Lifecycle) -> Response:
    """Blocks until every open request is done or the time is up. For the pod's own preStop hook alone."""
    if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
        raise Forbidden("/drain answers only to callers inside the pod")
    report = await lifecycle.drain()
    return _json(200, {"drained": report.num_unfinished == 0, "unfinished_requests": report.num_unfinished})


def _json(status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body), status_code=status, media_type="application/json", headers=headers
    )
