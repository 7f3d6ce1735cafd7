"""The informers of an InferenceService's children, and how a child leads back to its service.

The gateway's pods are looked at only while something drains, which is polled: their changes wake nobody.
"""

import asyncio
from collections.abc import Callable

from octavo_api.api_server import DEPLOYMENTS, DISRUPTION_BUDGETS, PODS, SERVICES, Resource
from octavo_api.informer import Informer, ListWatch
from octavo_api.names import FIELD_MANAGER, GATEWAY_NAME, LABEL_APP, LABEL_MANAGED_BY, LABEL_SERVICE
from octavo_operator.observed import Manifest, ObjectKey

OURS = f"{LABEL_MANAGED_BY}={FIELD_MANAGER}"


class Children:
    def __init__(self, server: ListWatch, on_change: Callable[[ObjectKey], None]) -> None:
        def tell(item: Manifest) -> None:
            if name := (item["metadata"].get("labels") or {}).get(LABEL_SERVICE):
                on_change(ObjectKey(item["metadata"]["namespace"], name))

        def informer(resource: Resource, label_selector: str) -> Informer:
            return Informer(
                server,
                resource,
                label_selector=label_selector,
                index_label=LABEL_SERVICE,
                on_change=tell,
            )

        self.deployments = informer(DEPLOYMENTS, OURS)
        self.services = informer(SERVICES, OURS)
        self.budgets = informer(DISRUPTION_BUDGETS, OURS)
        self.pods = informer(PODS, LABEL_SERVICE)
        self.gateway_pods = Informer(
            server,
            PODS,
            label_selector=f"{LABEL_APP}={GATEWAY_NAME}",
            index_label=LABEL_APP,
            on_change=lambda _: None,
        )
        self.all = (self.deployments, self.services, self.budgets, self.pods, self.gateway_pods)

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
