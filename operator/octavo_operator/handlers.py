"""Every kopf decorator. The bodies only put a key in the queue.

`on.event` needs no finalizer and writes nothing to the objects, so a service can be deleted, and an operator
replaced, while this one is down.
"""

from collections.abc import Callable
from typing import Any

import kopf

from octavo_api.names import GROUP, PLURAL, VERSION
from octavo_operator.observed import ObjectKey


def registry_for(enqueue: Callable[[ObjectKey], None], on_stop: Callable[[], None]) -> kopf.OperatorRegistry:
    """`on_stop` is called as soon as kopf takes SIGTERM or SIGINT."""
    registry = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def look_again(namespace: str | None, name: str | None, **_: Any) -> None:
        assert namespace is not None and name is not None, "InferenceServices are namespaced"
        enqueue(ObjectKey(namespace, name))

    @kopf.on.login(registry=registry)
    def log_in(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
        # The order of ApiServer.connect: KUBECONFIG where it is given, else the pod's own account.
        return kopf.login_with_kubeconfig(settings=settings) or kopf.login_with_service_account(
            settings=settings
        )

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        on_stop()

    return registry


def kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # Whether the CRD is there is checked before kopf starts; watching all CRDs would need that permission.
    settings.scanning.disabled = True
    settings.watching.connect_timeout = 5
    settings.watching.server_timeout = 270
    settings.watching.client_timeout = 300
    settings.process.ultimate_exiting_timeout = 10.0
    settings.queueing.exit_timeout = 1.0
    return settings
