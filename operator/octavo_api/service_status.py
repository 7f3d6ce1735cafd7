"""The status of an InferenceService as a value: what the operator writes, and reads back."""

from dataclasses import dataclass
from typing import Any, Literal

from octavo_api.fields import Fields, Json
from octavo_api.names import ConditionType
from octavo_api.rollout_status import RolloutRecord

ConditionStatus = Literal["True", "False", "Unknown"]
_STATUSES: dict[str, ConditionStatus] = {"True": "True", "False": "False", "Unknown": "Unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str
    """RFC 3339, in whole seconds and UTC, as Kubernetes writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFailure:
    """The last end of an engine that nobody asked for."""

    reason: str
    pod: str
    container: str
    exit_code: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionStatus:
    """A revision that has pods."""

    name: str
    """Eight characters of hash, as in the pods' label."""
    weight_percent: int
    """The share of new requests that the gateway sends to it; 0 to 100."""
    replicas: int
    ready_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    phase: str = ""
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    selector: str = ""
    url: str = ""
    current_revision: str = ""
    update_revision: str = ""
    revisions: tuple[RevisionStatus, ...] = ()
    model_commit: str = ""
    """The commit that an hf:// reference was pinned to; empty for other models."""
    last_failure: LastFailure | None = None
    rollout: RolloutRecord | None = None
    autoscaler: str = ""
    """The kind of the autoscaler that was made, so that it is found when another is wanted."""
    start_seconds: int = 0
    """From a pod's creation until it was Ready, rounded up coarsely; 0 while it is not known."""

    def condition(self, type: ConditionType) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == type), None)

    @staticmethod
    def from_manifest(raw: Json) -> "ServiceStatus":
        fields = Fields(raw, "status")
        return ServiceStatus(
            observed_generation=fields.integer("observedGeneration", 0),
            conditions=tuple(_condition(part) for part in fields.parts("conditions")),
            phase=fields.text("phase") or "",
            replicas=fields.integer("replicas", 0),
            ready_replicas=fields.integer("readyReplicas", 0),
            updated_replicas=fields.integer("updatedReplicas", 0),
            available_replicas=fields.integer("availableReplicas", 0),
            selector=fields.text("selector") or "",
            url=fields.text("url") or "",
            current_revision=fields.text("currentRevision") or "",
            update_revision=fields.text("updateRevision") or "",
            revisions=tuple(_revision(part) for part in fields.parts("revisions")),
            model_commit=fields.part("model").text("commit") or "",
            last_failure=_last_failure(fields.part("lastFailure")) if fields.has("lastFailure") else None,
            rollout=RolloutRecord.from_fields(fields.part("rollout")) if fields.has("rollout") else None,
            autoscaler=fields.text("autoscaler") or "",
            start_seconds=fields.integer("startSeconds", 0),
        )

    def to_manifest(self) -> dict[str, Any]:
        """Empty texts and lists are left out, so that server-side apply removes them."""
        status: dict[str, Any] = {
            "observedGeneration": self.observed_generation,
            "conditions": [_condition_manifest(condition) for condition in self.conditions],
            "replicas": self.replicas,
            "readyReplicas": self.ready_replicas,
            "updatedReplicas": self.updated_replicas,
            "availableReplicas": self.available_replicas,
        }
        texts = {
            "phase": self.phase,
            "selector": self.selector,
            "url": self.url,
            "currentRevision": self.current_revision,
            "updateRevision": self.update_revision,
            "autoscaler": self.autoscaler,
        }
        status |= {name: text for name, text in texts.items() if text}
        if self.revisions:
            status["revisions"] = [_revision_manifest(revision) for revision in self.revisions]
        if self.model_commit:
            status["model"] = {"commit": self.model_commit}
        if self.last_failure is not None:
            status["lastFailure"] = _last_failure_manifest(self.last_failure)
        if self.rollout is not None:
            status["rollout"] = self.rollout.to_manifest()
        if self.start_seconds:
            status["startSeconds"] = self.start_seconds
        return status


def _condition(fields: Fields) -> Condition:
    return Condition(
        type=fields.required_text("type"),
        status=_STATUSES[fields.required_text("status")],
        reason=fields.text("reason") or "",
        message=fields.text("message") or "",
        observed_generation=fields.integer("observedGeneration", 0),
        last_transition_time=fields.text("lastTransitionTime") or "",
    )


def _condition_manifest(condition: Condition) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_time,
    }


def _revision(fields: Fields) -> RevisionStatus:
    return RevisionStatus(
        name=fields.required_text("name"),
        weight_percent=fields.integer("weightPercent", 0),
        replicas=fields.integer("replicas", 0),
        ready_replicas=fields.integer("readyReplicas", 0),
    )


def _revision_manifest(revision: RevisionStatus) -> dict[str, Any]:
    return {
        "name": revision.name,
        "weightPercent": revision.weight_percent,
        "replicas": revision.replicas,
        "readyReplicas": revision.ready_replicas,
    }


def _last_failure(fields: Fields) -> LastFailure:
    return LastFailure(
        reason=fields.text("reason") or "",
        pod=fields.text("pod") or "",
        container=fields.text("container") or "",
        exit_code=fields.integer("exitCode", 0),
        message=fields.text("message") or "",
    )


def _last_failure_manifest(failure: LastFailure) -> dict[str, Any]:
    return {
        "reason": failure.reason,
        "pod": failure.pod,
        "container": failure.container,
        "exitCode": failure.exit_code,
        "message": failure.message,
    }
