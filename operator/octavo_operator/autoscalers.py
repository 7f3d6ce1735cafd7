"""The services' autoscalers in the cluster: a look at one, and the watch over services at zero."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from octavo_api.api_server import SCALED_OBJECTS, ApiServer
from octavo_api.names import GATEWAY_NAME
from octavo_api.spec import InferenceService
from octavo_operator.activation import idle_limit
from octavo_operator.autoscaler_seen import AutoscalerSeen, Demand
from octavo_operator.children import Children
from octavo_operator.gateway_client import AskTraffic
from octavo_operator.gateway_reports import GatewayPod, running_gateways
from octavo_operator.observed import Manifest, ObjectKey
from octavo_operator.ownership import Ownership, ownership

log = logging.getLogger(__name__)

KINDS_BELIEVED_SECONDS = 30.0
WAKE_POLL_SECONDS = 1.0


class Autoscalers:
    def __init__(
        self,
        server: ApiServer,
        children: Children,
        ask_traffic: AskTraffic,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._children = children
        self._ask_traffic = ask_traffic
        self._clock = clock
        self._keda: tuple[bool, float] | None = None
        """Whether its kind is served, and when we asked."""
        self._looked: set[ObjectKey] = set()
        """An operator that died may have made a ScaledObject and not said so: each service is looked at."""
        self._sleeping: set[ObjectKey] = set()
        """At zero, and to be woken by a request; filled again by the first visits after a restart."""
        self._failing: set[str] = set()
        """Namespaces where the last look at the sleepers failed, which is logged once."""

    async def observe(
        self,
        key: ObjectKey,
        raw: Manifest,
        service: InferenceService | None,
    ) -> AutoscalerSeen:
        """`raw` is the InferenceService; `service` None where it cannot be read."""
        hpas = self._children.pod_autoscalers.of(*key)
        uid = raw["metadata"]["uid"]
        own = [item for item in hpas if _is_ours(item, key, uid)]
        is_keda_served = True
        if self._may_have_scaled_object(key, raw, service):
            is_keda_served = await self._is_keda_served()
            found = await self._server.get(SCALED_OBJECTS, *key) if is_keda_served else None
            if found is not None and _is_ours(found, key, uid):
                own.append(found)
            self._looked.add(key)
        self._note_sleep(key, service)
        return AutoscalerSeen(
            own=tuple(own),
            kedas=next((item for item in hpas if _is_of_scaled_object(item, key)), None),
            is_keda_served=is_keda_served,
            demand=await self._demand(key, service),
            version=raw["metadata"]["resourceVersion"],
        )

    def forget(self, key: ObjectKey) -> None:
        self._looked.discard(key)
        self._sleeping.discard(key)

    async def watch_sleepers(self, on_demand: Callable[[ObjectKey], None]) -> None:
        """Calls back for services at zero for which a request waits. Until cancelled.

        One question a second and gateway, whatever the number of services. Nothing that a namespace does
        ends it, for the operator ends with it.
        """
        while True:
            await asyncio.sleep(WAKE_POLL_SECONDS)
            await self.look_at_sleepers(on_demand)

    async def look_at_sleepers(self, on_demand: Callable[[ObjectKey], None]) -> None:
        sleeping = sorted(self._sleeping)
        namespaces = {key.namespace for key in sleeping}
        self._failing &= namespaces
        for namespace in sorted(namespaces):
            keys = [key for key in sleeping if key.namespace == namespace]
            try:
                await self._look_at(namespace, keys, on_demand)
                self._failing.discard(namespace)
            except Exception:
                # Whatever it is that one namespace's gateways say, the others' services are to wake.
                if namespace not in self._failing:
                    self._failing.add(namespace)
                    log.exception("%s: its services at zero cannot be watched; the others are", namespace)

    async def _look_at(
        self, namespace: str, keys: Iterable[ObjectKey], on_demand: Callable[[ObjectKey], None]
    ) -> None:
        traffic = await self._ask_traffic(self._gateways(namespace))
        for key in keys:
            demand = Demand.of(key.name, traffic)
            if demand is not None and demand.waiting > 0:
                on_demand(key)

    def _note_sleep(self, key: ObjectKey, service: InferenceService | None) -> None:
        if service is not None and service.replicas == 0 and idle_limit(service) is not None:
            self._sleeping.add(key)
        else:
            self._sleeping.discard(key)

    def _may_have_scaled_object(
        self, key: ObjectKey, raw: Manifest, service: InferenceService | None
    ) -> bool:
        spec = service.autoscaling if service is not None else None
        is_asked_for = spec is not None and spec.provider == "KEDA"
        was_made = (raw.get("status") or {}).get("autoscaler") == SCALED_OBJECTS.kind
        return is_asked_for or was_made or key not in self._looked

    async def _is_keda_served(self) -> bool:
        if self._keda is None or self._clock() - self._keda[1] > KINDS_BELIEVED_SECONDS:
            self._keda = await self._server.serves(SCALED_OBJECTS), self._clock()
        return self._keda[0]

    async def _demand(self, key: ObjectKey, service: InferenceService | None) -> Demand | None:
        if service is None or idle_limit(service) is None:
            return None
        return Demand.of(key.name, await self._ask_traffic(self._gateways(key.namespace)))

    def _gateways(self, namespace: str) -> tuple[GatewayPod, ...]:
        return running_gateways(self._children.gateway_pods.of(namespace, GATEWAY_NAME))


def _is_ours(item: Manifest, key: ObjectKey, uid: str) -> bool:
    return ownership(item, service_name=key.name, service_uid=uid) is Ownership.OURS


def _is_of_scaled_object(item: Manifest, key: ObjectKey) -> bool:
    owners = item["metadata"].get("ownerReferences") or ()
    return any((owner["kind"], owner["name"]) == (SCALED_OBJECTS.kind, key.name) for owner in owners)
