"""The namespaces' gateways in the cluster: observe from the caches, write."""

import logging

from octavo_api.names import GATEWAY_NAME
from octavo_operator.attempts import Attempts, Outcome
from octavo_operator.children import Children
from octavo_operator.gateway_seen import GatewaySeen, Neighbour
from octavo_operator.observed import GatewayDefaults, GatewayKey, Manifest
from octavo_operator.ownership import Ownership, gateway_ownership
from octavo_operator.verdict import Verdict
from octavo_operator.writer import Writer, title

log = logging.getLogger(__name__)


class Gateways:
    def __init__(self, children: Children, writer: Writer, defaults: GatewayDefaults) -> None:
        self.defaults = defaults
        self._children = children
        self._writer = writer
        self._read: dict[str, dict[tuple[str, str], Neighbour]] = {}
        """By namespace, then uid and version. Each visit of a service looks at all others: read them once."""
        self._refused: dict[str, Verdict] = {}
        """By namespace, for the statuses of its services; found again by the first visit after a restart."""

    def observe(self, namespace: str) -> GatewaySeen:
        objects = (informer.get(namespace, GATEWAY_NAME) for informer in self._children.of_gateway)
        return GatewaySeen(
            namespace=namespace,
            neighbours=self._neighbours(namespace),
            objects=tuple(item for item in objects if item and gateway_ownership(item) is Ownership.OURS),
            refused=self._refused.get(namespace),
        )

    def _neighbours(self, namespace: str) -> tuple[Neighbour, ...]:
        before, now = self._read.get(namespace, {}), {}
        for raw in self._children.inference_services.of(namespace, ""):
            version = raw["metadata"]["uid"], raw["metadata"]["resourceVersion"]
            if "deletionTimestamp" not in raw["metadata"]:
                now[version] = before.get(version) or Neighbour.from_manifest(raw)
        self._read[namespace] = now
        return tuple(sorted(now.values(), key=lambda item: (item.created, item.name)))

    async def execute(self, key: GatewayKey, manifests: tuple[Manifest, ...]) -> Outcome:
        """Every write is tried, whatever happens to the one before."""
        attempts = Attempts()
        for manifest in manifests:
            log.info("%s: apply %s", key, title(manifest))
            await attempts.make(title(manifest), self._writer.apply(manifest, gateway_ownership))
        outcome = attempts.outcome
        self._refused.pop(key.namespace, None)
        for refusal in outcome.refusals[:1]:
            self._refused[key.namespace] = Verdict(
                "False", refusal.reason, f"{refusal.child}: {refusal.message}"
            )
        return outcome
