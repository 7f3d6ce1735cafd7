"""What a look at a namespace's gateway found, as frozen values: the services that share it, its objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from octavo_api.errors import InvalidSpec
from octavo_api.names import GATEWAY_NAME, ConditionType
from octavo_api.service_status import Condition, ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.verdict import Verdict

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An InferenceService as the others of its namespace see it."""

    name: str
    uid: str
    created: str
    """RFC 3339 in UTC and whole seconds, so that texts compare like times."""
    served_names: tuple[str, ...] = ()
    """Empty when its spec cannot be read."""
    api_keys_secret: str | None = None
    told: Condition | None = None
    """GatewayReady as its status has it."""

    @staticmethod
    def from_manifest(raw: Mapping[str, Any]) -> "Neighbour":
        meta = raw["metadata"]
        status = ServiceStatus.from_manifest(raw.get("status") or {})
        try:
            service = InferenceService.from_manifest(raw)
        except InvalidSpec:
            served_names: tuple[str, ...] = ()
            api_keys_secret = None
        else:
            served_names, api_keys_secret = service.served_names, service.gateway.api_keys_secret
        return Neighbour(
            name=meta["name"],
            uid=meta["uid"],
            created=meta["creationTimestamp"],
            served_names=served_names,
            api_keys_secret=api_keys_secret,
            told=status.condition(ConditionType.GATEWAY_READY),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDeployment:
    available_replicas: int
    trouble: str
    """Why it makes no progress, in the deployment controller's words; empty when it does."""

    @staticmethod
    def from_manifest(raw: Mapping[str, Any]) -> "GatewayDeployment":
        status = raw.get("status") or {}
        conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
        failure, progress = conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})
        trouble = ""
        if failure.get("status") == "True":
            trouble = failure.get("message", "")
        elif progress.get("reason") == "ProgressDeadlineExceeded":
            trouble = progress.get("message", "")
        return GatewayDeployment(available_replicas=status.get("availableReplicas", 0), trouble=trouble)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySeen:
    namespace: str = ""
    neighbours: tuple[Neighbour, ...] = ()
    """Oldest first, and by name where they are of the same second; without those that are being deleted."""
    objects: tuple[Manifest, ...] = ()
    """The gateway's own, as far as they exist and are ours."""
    refused: Verdict | None = None
    """Why an object could not be written at the last try."""

    @property
    def deployment(self) -> GatewayDeployment | None:
        for item in self.objects:
            if (item["kind"], item["metadata"]["name"]) == ("Deployment", GATEWAY_NAME):
                return GatewayDeployment.from_manifest(item)
        return None
