"""The informers of InferenceServices, their children and gateways; how an object leads back to its key.

The gateway's pods are looked at only while something drains, which is polled: their changes wake nobody.
"""

import asyncio
from collections.abc import Callable

from octavo_api.api_server import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    INFERENCE_SERVICES,
    JOBS,
    POD_AUTOSCALERS,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from octavo_api.informer import Informer, ListWatch
from octavo_api.names import (
    FIELD_MANAGER,
    GATEWAY_NAME,
    LABEL_APP,
    LABEL_MANAGED_BY,
    LABEL_PREFLIGHT,
    LABEL_SERVICE,
)
from octavo_operator import trim
from octavo_operator.observed import GatewayKey, Key, Manifest, ObjectKey

OURS = f"{LABEL_MANAGED_BY}={FIELD_MANAGER}"


class Children:
    def __init__(
        self,
        server: ListWatch,
        on_change: Callable[[Key], None],
        *,
        namespace: str | None = None,
        on_service: Callable[[ObjectKey], None] = lambda _: None,
    ) -> None:
        """Of one namespace or, with None, of all. `on_service` hears of changed InferenceServices."""

        def tell(item: Manifest) -> None:
            metadata = item["metadata"]
            labels = metadata.get("labels") or {}
            if name := labels.get(LABEL_SERVICE):
                on_change(ObjectKey(metadata["namespace"], name))
            elif labels.get(LABEL_APP) == GATEWAY_NAME:
                on_change(GatewayKey(metadata["namespace"]))

        def tell_of_preflight(item: Manifest) -> None:
            metadata = item["metadata"]
            if name := (metadata.get("labels") or {}).get(LABEL_PREFLIGHT):
                on_change(ObjectKey(metadata["namespace"], name))

        def tell_gateway(item: Manifest) -> None:
            metadata = item["metadata"]
            on_change(GatewayKey(metadata["namespace"]))
            on_service(ObjectKey(metadata["namespace"], metadata["name"]))

        def informer(
            resource: Resource, label_selector: str, transform: Callable[[Manifest], Manifest]
        ) -> Informer:
            return Informer(
                server,
                resource,
                label_selector=label_selector,
                index_label=LABEL_SERVICE,
                transform=transform,
                on_change=tell,
                namespace=namespace,
            )

        self.deployments = informer(DEPLOYMENTS, OURS, trim.deployment)
        self.services = informer(SERVICES, OURS, trim.child)
        self.budgets = informer(DISRUPTION_BUDGETS, OURS, trim.child)
        self.pod_autoscalers = informer(POD_AUTOSCALERS, OURS, trim.whole)
        self.pods = informer(PODS, LABEL_SERVICE, trim.pod)
        self.jobs = informer(JOBS, OURS, trim.whole)
        self.preflight_pods = Informer(
            server,
            PODS,
            label_selector=LABEL_PREFLIGHT,
            index_label=LABEL_PREFLIGHT,
            transform=trim.whole,
            on_change=tell_of_preflight,
            namespace=namespace,
        )
        self.gateway_pods = Informer(
            server,
            PODS,
            label_selector=f"{LABEL_APP}={GATEWAY_NAME}",
            index_label=LABEL_APP,
            transform=trim.pod,
            on_change=lambda _: None,
            namespace=namespace,
        )
        access = tuple(
            informer(resource, OURS, trim.child) for resource in (SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS)
        )
        self.of_gateway = (self.deployments, self.services, self.budgets, *access)
        # A service's own visits come from kopf; these are for what the services of a namespace share.
        self.inference_services = Informer(
            server,
            INFERENCE_SERVICES,
            transform=trim.inference_service,
            on_change=tell_gateway,
            namespace=namespace,
        )
        own = (self.pods, self.pod_autoscalers, self.jobs, self.preflight_pods)
        self.all = (*self.of_gateway, *own, self.gateway_pods, self.inference_services)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.all:
                group.create_task(informer.run())

    async def synced(self) -> None:
        for informer in self.all:
            await informer.synced.wait()

    def of_kind(self, kind: str) -> Informer:
        return next(informer for informer in self.all if informer.resource.kind == kind)
