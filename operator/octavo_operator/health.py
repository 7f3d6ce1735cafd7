"""Liveness is progress: that the event loop answers proves little; a watch or a worker may stand still."""

import asyncio
import time

from aiohttp import web

from octavo_api.informer import LONGEST_WAIT, SILENT_AFTER, Informer
from octavo_operator.observed import Key
from octavo_operator.work_queue import WorkQueue

# Every informer hears something, or tries again, well within this.
INFORMER_SILENCE = 2 * SILENT_AFTER + LONGEST_WAIT
LONGEST_VISIT = 180.0
LONGEST_QUEUE = 180.0


def troubles(informers: tuple[Informer, ...], queue: WorkQueue[Key]) -> list[str]:
    """Empty when the operator makes progress. An absent API server is not our trouble."""
    now = time.monotonic()
    found = [
        f"the watch of {informer.resource.plural} stands still for {now - informer.last_progress:.0f} s"
        for informer in informers
        if now - informer.last_progress > INFORMER_SILENCE
    ]
    if queue.longest_visit() > LONGEST_VISIT:
        found.append(f"a reconcile runs for {queue.longest_visit():.0f} s")
    if queue.longest_wait() > LONGEST_QUEUE:
        found.append(f"a service waits for {queue.longest_wait():.0f} s")
    return found


def health_app(informers: tuple[Informer, ...], queue: WorkQueue[Key]) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        found = troubles(informers, queue)
        return web.Response(text="\n".join(found) or "ok", status=503 if found else 200)

    async def readyz(_: web.Request) -> web.Response:
        is_synced = all(informer.synced.is_set() for informer in informers)
        return web.Response(text="ok" if is_synced else "listing", status=200 if is_synced else 503)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
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
