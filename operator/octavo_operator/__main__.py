"""`python -m octavo_operator`: the composition root.

Ends promptly on SIGTERM, also as a pod's first process.
"""

import asyncio
import faulthandler
import logging
import os
import secrets
import signal
import sys
from datetime import UTC, datetime
from functools import partial

from octavo_api.api_server import ApiServer
from octavo_operator.children import Children
from octavo_operator.cluster import Cluster, read_token, why_not_served
from octavo_operator.gateway_client import ask_gateways, ask_traffic
from octavo_operator.gateway_reconcile import reconcile_gateway
from octavo_operator.handlers import watch_services
from octavo_operator.health import Parts, health_app, serve_health
from octavo_operator.hub import Hub
from octavo_operator.hub_client import ask_hub
from octavo_operator.lease import Lease, LeaseLost, LeaseTimes
from octavo_operator.metrics import Metrics
from octavo_operator.metrics_api.server import MetricsServer, metrics_server
from octavo_operator.metrics_api.waiting import WaitingAtGateways
from octavo_operator.observed import GatewayKey, Key
from octavo_operator.reconcile import reconcile
from octavo_operator.settings import Settings
from octavo_operator.tasks import run_together
from octavo_operator.two_watches import TwoWatches
from octavo_operator.work_queue import WorkQueue

log = logging.getLogger("octavo_operator")

CRD_POLL_SECONDS = 2.0
LONGEST_END_SECONDS = 20.0


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT; raises when a part of the operator dies, LeaseLost among others."""
    metrics = Metrics()
    connect = partial(ApiServer.connect, settings.kubeconfig, on_answer=metrics.api_answered)
    # Connections of its own: a renewal must not wait for the reconciles' requests, nor for their permission.
    election = await connect(max_connections=4)
    lease = _lease(election, settings)
    server = await connect(may_write=lambda: lease is None or lease.is_held)
    try:
        await _operate(settings, server, election, lease, metrics)
    finally:
        await server.close()
        await election.close()


async def _operate(
    settings: Settings, server: ApiServer, election: ApiServer, lease: Lease | None, metrics: Metrics
) -> None:
    async def visit(key: Key) -> float | None:
        if isinstance(key, GatewayKey):
            return await reconcile_gateway(key, cluster.gateways, queue.add, settings.resync_seconds)
        now = datetime.now(UTC)
        return await reconcile(key, cluster, now, settings.resync_seconds, metrics.rollout_ended)

    queue = WorkQueue[Key](visit, note=metrics.visited)
    children = Children(
        server,
        queue.add,
        namespace=settings.watch_namespace,
        on_service=lambda key: watches.informer_knows(key),
    )
    watches = TwoWatches(children.inference_services, queue.add)
    hub = Hub(
        ask=lambda model, token: ask_hub(settings.hub_endpoint, model, token),
        read_token=lambda namespace, name: read_token(server, namespace, name),
        on_answer=queue.add,
    )
    cluster = Cluster(server, children, hub, settings.defaults, ask_gateways, ask_traffic)
    metrics.watch(
        queue_depth=queue.__len__,
        is_leader=lambda: lease is None or lease.is_held,
        informers=children.all,
        services=children.inference_services,
    )
    # A stand-by serves it too, and so may write what it needs.
    metrics_api = _metrics_api(election, children, settings)
    parts = Parts(
        informers=children.all,
        queue=queue,
        watches=watches,
        lease=lease,
        unready=metrics_api.unready if metrics_api else lambda: "",
    )

    async def work() -> None:
        # A child that is not in the cache yet would look as if it had to be made.
        await children.synced()
        if lease is not None:
            await lease.acquired.wait()
        log.info("reconciling")
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run(settings.num_workers))
            group.create_task(cluster.autoscalers.watch_sleepers(queue.add))

    async def elect() -> None:
        # Who could not act yet does not stand for election.
        await children.synced()
        log.info("caches are filled")
        if lease is not None:
            await lease.run()
        await asyncio.Event().wait()

    async def release() -> None:
        # kopf takes its time to end; the next leader need not wait for it.
        if lease is not None:
            await lease.release()

    stopping = asyncio.Event()
    _take_signals(stopping)
    await run_together(
        {"workers": work(), "election": elect()},
        {
            "informers": children.run(),
            "health": serve_health(health_app(parts, metrics), settings.health_port),
            "kopf": _watch_services(server, watches, settings.watch_namespace, stopping),
            "comparison of watches": watches.run(),
            "stop": _wait(stopping),
            **({"metrics API": metrics_api.run()} if metrics_api else {}),
        },
        ending=_end_at_last,
        then=release,
    )


def _metrics_api(server: ApiServer, children: Children, settings: Settings) -> MetricsServer | None:
    if not settings.metrics_api:
        return None
    assert settings.operator_namespace is not None  # checked with the settings
    waiting = WaitingAtGateways(children.gateway_pods, ask_traffic)
    return metrics_server(server, children, waiting, settings.operator_namespace)


def _end_at_last() -> None:
    """Whatever hangs then: another may lead by now. What hung is told, and the exit code is 1."""
    faulthandler.dump_traceback_later(LONGEST_END_SECONDS, exit=True)


def _lease(server: ApiServer, settings: Settings) -> Lease | None:
    if settings.operator_namespace is None:
        return None
    # A container that starts again in its pod is another candidate.
    identity = f"{settings.pod_name}_{secrets.token_hex(4)}"
    times = LeaseTimes.of(settings.lease_seconds)
    return Lease(server, settings.operator_namespace, identity, times=times)


def _take_signals(stopping: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)


async def _wait(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def _watch_services(
    server: ApiServer, watches: TwoWatches, namespace: str | None, stopping: asyncio.Event
) -> None:
    # kopf looks for the kind once, at its start.
    while (why := await why_not_served(server, namespace)) is not None:
        log.warning("waiting: %s", why)
        await asyncio.sleep(CRD_POLL_SECONDS)
    await watch_services(watches.kopf_tells, namespace, lambda: _take_signals(stopping), stopping)


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
