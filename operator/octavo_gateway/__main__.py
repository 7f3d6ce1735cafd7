"""`python -m octavo_gateway`: the composition root. SIGTERM drains."""

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack

import uvloop
from aiohttp import web

from octavo_api.api_server import ApiServer
from octavo_gateway.activity import Activity
from octavo_gateway.admin import admin_app
from octavo_gateway.admission import Admission
from octavo_gateway.app import App
from octavo_gateway.endpoints import Endpoints
from octavo_gateway.http_server import HttpServer, listening_socket
from octavo_gateway.keys import ApiKeys
from octavo_gateway.lifecycle import Lifecycle
from octavo_gateway.limits import Limiter
from octavo_gateway.logs import set_up_logging
from octavo_gateway.metrics import Metrics
from octavo_gateway.routing import Load
from octavo_gateway.settings import Settings
from octavo_gateway.tls import Certificate
from octavo_gateway.upstream import Upstream

log = logging.getLogger("octavo_gateway")

# One connection a watch, and two watched Secrets a service: a bounded pool would starve the last of them.
UNBOUNDED = 0


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT and the drain that follows; raises when a part dies."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    certificate = Certificate(settings.tls) if settings.tls is not None else None
    listener = listening_socket("0.0.0.0", settings.http_port)
    async with AsyncExitStack() as stack:
        server = await ApiServer.connect(settings.kubeconfig, max_connections=UNBOUNDED)
        stack.push_async_callback(server.close)
        endpoints = Endpoints(server, settings.namespace)
        load, limiter, metrics, activity = Load(), Limiter(), Metrics(), Activity()
        admission = Admission(endpoints, load, limiter, metrics, activity)
        lifecycle = Lifecycle(
            propagation_seconds=settings.drain_propagation_seconds,
            timeout_seconds=settings.drain_timeout_seconds,
        )
        endpoints.on_table.append(admission.wake)
        metrics.watch(admission.waiting, lambda: endpoints.num_gateways)
        keys = ApiKeys(endpoints.api_keys)
        app = App(
            table=endpoints,
            keys=keys,
            admission=admission,
            lifecycle=lifecycle,
            recorder=metrics,
            upstream=await stack.enter_async_context(Upstream()),
            max_continuations=settings.max_continuations,
        )

        def forget() -> None:
            for owner in (admission, limiter, keys, metrics, app):
                owner.forget_all_but(endpoints.table.services)
            metrics.forget_revisions_but(endpoints.table.revisions, time.monotonic())
            activity.meet(endpoints.table.services)

        endpoints.on_table.append(forget)
        clients = HttpServer(app, **_ssl_options(certificate))
        runner = web.AppRunner(
            admin_app(endpoints, load, metrics, lifecycle, admission, activity),
            access_log=None,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "0.0.0.0", settings.admin_port).start()

        async with asyncio.TaskGroup() as group:
            serving = group.create_task(clients.serve_on(listener), name="server")
            helpers = [group.create_task(endpoints.run(), name="watches")]
            if certificate is not None:
                helpers.append(group.create_task(certificate.run(), name="certificate"))
            log.info("serving namespace %s on port %d", settings.namespace, settings.http_port)
            await stopping.wait()
            await lifecycle.drain(clients.let_go)
            clients.stop()
            await serving
            for helper in helpers:
                helper.cancel()


def _ssl_options(certificate: Certificate | None) -> dict[str, object]:
    return {"ssl_context_factory": lambda *_: certificate.context} if certificate is not None else {}


def main() -> None:
    settings = Settings.read(sys.argv[1:], os.environ)
    set_up_logging(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    main()
