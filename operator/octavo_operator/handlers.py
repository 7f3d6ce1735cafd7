"""Every kopf decorator. The bodies only pass on which object changed.

`on.event` needs no finalizer and writes nothing to the objects, so a service can be deleted, and an operator
replaced, while this one is down.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import kopf

from octavo_api.informer import PAGE_SIZE
from octavo_api.names import GROUP, PLURAL, VERSION
from octavo_operator.observed import ObjectKey


class Tell(Protocol):
    def __call__(self, key: ObjectKey, version: int, *, deleted: bool) -> None: ...


async def watch_services(
    tell: Tell, namespace: str | None, on_start: Callable[[], None], stopping: asyncio.Event
) -> None:
    """Until `stopping`; raises what breaks kopf. It takes the signals over: `on_start` takes them back."""
    scope: dict[str, Any] = {"clusterwide": True} if namespace is None else {"namespaces": [namespace]}
    # In the end kopf cancels every task of this loop that is not in here.
    before = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry_for(tell),
        settings=kopf_settings(),
        standalone=True,
        stop_flag=stopping,
        **scope,
    )
    on_start()
    await kopf.run_tasks(tasks, ignored=before)


def registry_for(tell: Tell) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def look_again(
        namespace: str | None, name: str | None, meta: kopf.Meta, type: str | None, **_: Any
    ) -> None:
        assert namespace is not None and name is not None, "InferenceServices are namespaced"
        tell(ObjectKey(namespace, name), int(meta["resourceVersion"]), deleted=type == "DELETED")

    @kopf.on.login(registry=registry)
    def log_in(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
        # The order of ApiServer.connect: KUBECONFIG where it is given, else the pod's own account.
        return kopf.login_with_kubeconfig(settings=settings) or kopf.login_with_service_account(
            settings=settings
        )

    return registry


def kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # Whether the CRD is there is checked before kopf starts; watching all CRDs would need that permission.
    settings.scanning.disabled = True
    settings.watching.connect_timeout = 5
    settings.watching.server_timeout = 270
    settings.watching.client_timeout = 300
    # By default kopf takes the whole list as one answer.
    settings.watching.chunk_size = PAGE_SIZE
    settings.networking.error_backoffs = Backoffs()
    settings.process.ultimate_exiting_timeout = 10.0
    settings.queueing.exit_timeout = 1.0
    return settings


class Backoffs:
    """Seconds between kopf's tries of one request, without an end: it would take the process with it.

    It tries again after 5xx, 429, no answer, and after 403, which a role that is given back ends.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0))
