"""The health port: liveness, readiness, metrics.

Liveness is progress: that the event loop answers proves little; a watch or a worker may stand still.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from octavo_api.informer import LONGEST_WAIT, SILENT_AFTER, Informer
from octavo_api.names import PLURAL
from octavo_operator.lease import Lease
from octavo_operator.metrics import Metrics
from octavo_operator.observed import Key
from octavo_operator.two_watches import TwoWatches
from octavo_operator.work_queue import WorkQueue

# Every informer hears something, or tries again, well within this.
INFORMER_SILENCE = 2 * SILENT_AFTER + LONGEST_WAIT
LONGEST_VISIT = 180.0
LONGEST_QUEUE = 180.0


# kopf opens a silent watch again after 70 seconds.
KOPF_BEHIND = 180.0
ELECTION_SILENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What must make progress."""

    informers: tuple[Informer, ...]
    queue: WorkQueue[Key]
    watches: TwoWatches
    lease: Lease | None = None
    unready: Callable[[], str] = lambda: ""
    """Why nobody is to be sent here yet, though the caches are filled; empty: nothing is in the way."""


def troubles(parts: Parts) -> list[str]:
    """Empty when the operator makes progress. An absent API server is not our trouble."""
    now = time.monotonic()
    queue, lease = parts.queue, parts.lease
    found = [
        f"the watch of {informer.resource.plural} stands still for {now - informer.last_progress:.0f} s"
        for informer in parts.informers
        if now - informer.last_progress > INFORMER_SILENCE
    ]
    if parts.watches.behind() > KOPF_BEHIND:
        found.append(f"kopf's watch of {PLURAL} is {parts.watches.behind():.0f} s behind our own")
    if lease is not None and lease.last_try is not None and now - lease.last_try > ELECTION_SILENCE:
        found.append(f"the election stands still for {now - lease.last_try:.0f} s")
    if queue.longest_visit() > LONGEST_VISIT:
        found.append(f"a reconcile runs for {queue.longest_visit():.0f} s")
    if queue.longest_wait() > LONGEST_QUEUE:
        found.append(f"a service waits for {queue.longest_wait():.0f} s")
    return found


def health_app(parts: Parts, metrics: Metrics) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        found = troubles(parts)
        return web.Response(text="\n".join(found) or "ok", status=503 if found else 200)

    async def readyz(_: web.Request) -> web.Response:
        # Of a stand-by too: it could take over at once.
        is_synced = all(informer.synced.is_set() for informer in parts.informers)
        reason = parts.unready() if is_synced else "listing"
        return web.Response(text=reason or "ok", status=503 if reason else 200)

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics_page)
    return app


async def serve_health(app: web.Application, port: int) -> None:
    """Until cancelled."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", port).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
