"""`python -m octavo_operator`: the composition root.

Ends promptly on SIGTERM, also as a pod's first process.
"""

import asyncio
import logging
import os
import secrets
import signal
import sys
from datetime import UTC, datetime

import kopf

from octavo_api.api_server import ApiServer
from octavo_operator.children import Children
from octavo_operator.cluster import Cluster, is_served, read_token
from octavo_operator.gateway_client import ask_gateways, ask_traffic
from octavo_operator.gateway_reconcile import reconcile_gateway
from octavo_operator.handlers import kopf_settings, registry_for
from octavo_operator.health import health_app, serve_health
from octavo_operator.hub import Hub
from octavo_operator.hub_client import ask_hub
from octavo_operator.lease import Lease, LeaseLost
from octavo_operator.observed import GatewayKey, Key
from octavo_operator.reconcile import reconcile
from octavo_operator.settings import Settings
from octavo_operator.work_queue import WorkQueue

log = logging.getLogger("octavo_operator")

CRD_POLL_SECONDS = 2.0


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT, which kopf takes; raises when a part of the operator dies, as by LeaseLost."""
    # Its own connections: a renewal must not wait for the reconciles' requests, nor for their permission.
    election = await ApiServer.connect(settings.kubeconfig, max_connections=4)
    lease = _lease(election, settings)
    server = await ApiServer.connect(settings.kubeconfig, may_write=lambda: lease is None or lease.is_held)

    async def visit(key: Key) -> float | None:
        if isinstance(key, GatewayKey):
            return await reconcile_gateway(key, cluster.gateways, queue.add, settings.resync_seconds)
        return await reconcile(key, cluster, datetime.now(UTC), settings.resync_seconds)

    queue = WorkQueue[Key](visit)
    children = Children(server, queue.add)
    hub = Hub(
        ask=lambda model, token: ask_hub(settings.hub_endpoint, model, token),
        read_token=lambda namespace, name: read_token(server, namespace, name),
        on_answer=queue.add,
    )
    cluster = Cluster(server, children, hub, settings.defaults, ask_gateways, ask_traffic)

    async def work() -> None:
        # A child that is not in the cache yet would look as if it had to be made.
        await children.synced()
        if lease is not None:
            await lease.acquired.wait()
        log.info("reconciling")
        await queue.run(settings.num_workers)

    async def elect() -> None:
        # Who cannot act yet does not stand for election.
        await children.synced()
        log.info("caches are filled")
        if lease is not None:
            await lease.run()
        await asyncio.Event().wait()

    acting = [
        asyncio.create_task(work(), name="workers"),
        asyncio.create_task(elect(), name="election"),
    ]
    parts = [
        *acting,
        asyncio.create_task(children.run(), name="informers"),
        asyncio.create_task(
            serve_health(health_app(children.all, queue), settings.health_port), name="health"
        ),
    ]
    stopping = asyncio.Event()
    # Once kopf runs it takes the signals itself. It would then give our tasks five seconds to end by
    # themselves; its clean-up handler therefore sets the same flag.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    parts += [
        asyncio.create_task(_watch_services(server, queue, stopping), name="kopf"),
        asyncio.create_task(_wait(stopping), name="stop"),
    ]
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        died = [task for task in parts if task.done() and not task.cancelled() and task.exception()]
        # The other parts take time to end; the next leader need not wait for them.
        await _end(acting)
        if lease is not None:
            await lease.release()
        await _end(parts)
        _raise_error_of(died)
    finally:
        await server.close()
        await election.close()


def _lease(server: ApiServer, settings: Settings) -> Lease | None:
    if settings.operator_namespace is None:
        return None
    # A container that starts again in its pod is another candidate.
    identity = f"{settings.pod_name}_{secrets.token_hex(4)}"
    return Lease(server, settings.operator_namespace, identity)


async def _wait(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def _watch_services(server: ApiServer, queue: WorkQueue[Key], stopping: asyncio.Event) -> None:
    # kopf looks for the kind once, at its start.
    while not await is_served(server):
        log.warning("waiting for the CRD of InferenceServices: kubectl apply -k crds")
        await asyncio.sleep(CRD_POLL_SECONDS)
    await kopf.operator(
        registry=registry_for(queue.add, stopping.set),
        settings=kopf_settings(),
        standalone=True,
        clusterwide=True,
    )


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_error_of(died: list[asyncio.Task[None]]) -> None:
    for task in died:
        error = task.exception()
        assert error is not None
        log.error("%s died: %s", task.get_name(), error)
        raise error


def main() -> None:
    settings = Settings.read(sys.argv[1:], os.environ)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # One line an event, from kopf, about a handler that only fills a queue.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    try:
        asyncio.run(run(settings))
    except LeaseLost:
        # Told already; what is left is to begin anew, as a stand-by.
        sys.exit(1)


if __name__ == "__main__":
    main()
