"""The Deployment of a revision as a frozen value. Reading its manifest ends here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from octavo_api.names import LABEL_REVISION

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDeployment:
    name: str
    revision: str
    created: datetime
    replicas: int
    """Wanted."""
    current: bool
    """The deployment controller has seen the latest change, so that the counts speak of it."""
    existing_replicas: int
    updated_replicas: int
    ready_replicas: int
    available_replicas: int
    replica_failure: str
    """Why its pods are refused (quota, Pod Security, admission); empty when they are not."""
    deadline_exceeded: bool
    deleting: bool
    manifest: Manifest

    @staticmethod
    def from_manifest(raw: Manifest) -> "EngineDeployment":
        meta, status = raw["metadata"], raw.get("status") or {}
        conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
        failure = conditions.get("ReplicaFailure", {})
        return EngineDeployment(
            name=meta["name"],
            revision=raw["spec"]["selector"]["matchLabels"].get(LABEL_REVISION, ""),
            created=datetime.fromisoformat(meta["creationTimestamp"]),
            replicas=raw["spec"].get("replicas", 1),
            current=status.get("observedGeneration", 0) >= meta.get("generation", 0),
            existing_replicas=status.get("replicas", 0),
            updated_replicas=status.get("updatedReplicas", 0),
            ready_replicas=status.get("readyReplicas", 0),
            available_replicas=status.get("availableReplicas", 0),
            replica_failure=failure.get("message", "") if failure.get("status") == "True" else "",
            deadline_exceeded=conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded",
            deleting="deletionTimestamp" in meta,
            manifest=raw,
        )

    @property
    def uid(self) -> str:
        return str(self.manifest["metadata"]["uid"])

    @property
    def is_available(self) -> bool:
        return self.current and self.updated_replicas >= self.replicas <= self.available_replicas
