"""What a reconcile looked at: one InferenceService and its children, as frozen values.

Reading the children's manifests ends here; deciding anything belongs to plan, rollout and status.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from octavo_api.names import (
    ANNOTATION_DELETION_COST,
    ANNOTATION_DRAINING,
    CONTAINER_NAME,
    DELETION_COST_RELEASED,
    GATEWAY_NAME,
    LABEL_REVISION,
    Reason,
)
from octavo_api.quantity import parse_quantity
from octavo_api.service_status import ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.gateway_reports import GatewayReport
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.traffic import Window

Manifest = dict[str, Any]
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class ObjectKey(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class GatewayKey(NamedTuple):
    """The gateway of a namespace, which all its services share."""

    namespace: str

    def __str__(self) -> str:
        return f"{self.namespace}/{GATEWAY_NAME}"


Key = ObjectKey | GatewayKey


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDefaults:
    """How the operator runs every namespace's gateway; a change rolls them all."""

    image: str = "octavo-operator"
    replicas: int = 2
    tls_secret: str | None = None
    """A Secret of type kubernetes.io/tls in the gateway's namespace; clients then speak HTTPS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDefaults:
    """What the operator adds to a new revision; an existing one keeps what it was made with."""

    engine_image: str
    model_root: str | None = None
    hub_endpoint: str | None = None
    prometheus_url: str | None = None
    """No part of a revision: KEDA asks it, not the engine."""
    gateway: GatewayDefaults = field(default_factory=GatewayDefaults)
    """No part of a revision."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The model can be named exactly; `commit` is None for models that are no Hub repositories."""

    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Resolving:
    message: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    reason: Reason
    message: str
    terminal: bool


Resolution = Resolved | Resolving | Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a container."""

    exit_code: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePod:
    name: str
    revision: str
    phase: str
    created: datetime
    ready: bool
    deleting: bool
    uid: str = ""
    lapsed: bool = False
    """It runs and is not ready, but has been so since its container started: it may still hold requests."""
    ready_since: datetime = LONG_AGO
    """When it became ready last, if it is."""
    accelerators: Mapping[str, int] = field(default_factory=dict)
    """What it asks for of extended resources, as in nvidia.com/gpu."""
    unschedulable_since: datetime | None = None
    draining_since: datetime | None = None
    released: bool = False
    """It has drained, or there was nothing to wait for: its Deployment may do without it."""
    unschedulable: str = ""
    """The scheduler's own words; empty when the pod has a node."""
    waiting_reason: str = ""
    waiting_message: str = ""
    running: bool = False
    restarts: int = 0
    ended: Ended | None = None
    """The container's last end, also when it has been started again since."""

    @property
    def is_live(self) -> bool:
        """Counted by its ReplicaSet."""
        return not self.deleting and self.phase not in ("Succeeded", "Failed")

    @property
    def is_serving(self) -> bool:
        return self.ready or self.lapsed

    @staticmethod
    def from_manifest(raw: Mapping[str, Any]) -> "EnginePod":
        meta, status = raw["metadata"], raw.get("status") or {}
        conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
        scheduled = conditions.get("PodScheduled", {})
        engine = _engine_container(status)
        state = engine.get("state") or {}
        waiting = state.get("waiting") or {}
        created = datetime.fromisoformat(meta["creationTimestamp"])
        annotations = meta.get("annotations") or {}
        draining = annotations.get(ANNOTATION_DRAINING)
        ready = conditions.get("Ready", {})
        return EnginePod(
            name=meta["name"],
            revision=(meta.get("labels") or {}).get(LABEL_REVISION, ""),
            phase=status.get("phase", "Pending"),
            created=created,
            ready=ready.get("status") == "True",
            deleting="deletionTimestamp" in meta,
            uid=meta.get("uid", ""),
            lapsed=_has_lapsed(ready, state),
            ready_since=_time(ready.get("lastTransitionTime") or "", LONG_AGO),
            accelerators=_extended_resources(raw.get("spec") or {}),
            unschedulable_since=(
                _time(scheduled.get("lastTransitionTime") or "", created)
                if scheduled.get("reason") == "Unschedulable"
                else None
            ),
            draining_since=None if draining is None else _time(draining, created),
            released=draining is not None
            and annotations.get(ANNOTATION_DELETION_COST) == str(DELETION_COST_RELEASED),
            unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
            waiting_reason=waiting.get("reason", ""),
            waiting_message=waiting.get("message", ""),
            running="running" in state,
            restarts=engine.get("restartCount", 0),
            ended=_ended(state) or _ended(engine.get("lastState") or {}),
        )


def _time(text: str, otherwise: datetime) -> datetime:
    """Anybody may write an annotation: one that is no time counts from `otherwise`."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return time if time.tzinfo is not None else otherwise


def _extended_resources(spec: Mapping[str, Any]) -> dict[str, int]:
    """Kubernetes' own resources have no domain in their names; quantities of the others are whole."""
    containers = (item for item in spec.get("containers") or () if item["name"] == CONTAINER_NAME)
    limits = ((item.get("resources") or {}).get("limits") or {} for item in containers)
    return {
        name: int(parse_quantity(amount, field=name))
        for each in limits
        for name, amount in each.items()
        if "/" in name
    }


def _has_lapsed(ready: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """The kubelet writes Ready=False before the container starts, and again only after it was True."""
    started, changed = (state.get("running") or {}).get("startedAt"), ready.get("lastTransitionTime")
    if ready.get("status") == "True" or not started or not changed:
        return False
    return datetime.fromisoformat(changed) > datetime.fromisoformat(started)


def _engine_container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    statuses = status.get("containerStatuses") or ()
    return next((item for item in statuses if item["name"] == CONTAINER_NAME), {})


def _ended(state: Mapping[str, Any]) -> Ended | None:
    if (terminated := state.get("terminated")) is None:
        return None
    return Ended(
        exit_code=terminated.get("exitCode", 0),
        reason=terminated.get("reason", ""),
        message=(terminated.get("message") or "").strip(),
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A write that the API server or our own rules refused, and that trying again at once will not change."""

    child: str
    """Kind and name, as in "Service demo"."""
    reason: Reason
    message: str
    terminal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """`service` is None when the spec cannot be read (`invalid` says why) or when there is no such object."""

    key: ObjectKey
    exists: bool
    uid: str = ""
    generation: int = 0
    deleting: bool = False
    status: ServiceStatus = field(default_factory=ServiceStatus)
    service: InferenceService | None = None
    invalid: str = ""
    resolution: Resolution = Resolved()
    deployments: tuple[EngineDeployment, ...] = ()
    others: tuple[Manifest, ...] = ()
    """The Service and the PodDisruptionBudget, as far as they exist and are ours."""
    pods: tuple[EnginePod, ...] = ()
    preflights: Mapping[str, PreflightSeen] = field(default_factory=dict)
    """By revision."""
    has_token: bool = False
    """The Secret with the token that gateways show to this service's engines exists and is ours."""
    fresh_token: str = ""
    """Random, for the case that the Secret has to be made; an input, so that plans stay repeatable."""
    gateway: GatewaySeen = field(default_factory=GatewaySeen)
    gateway_reports: tuple[GatewayReport, ...] | None = None
    """What the running gateway pods say; None when they were not asked, because nothing drains."""
    window: Window | None = None
    """What the gateways counted since the canary's step began; None where no step is under way."""
    nodes_are_coming: bool = False
    """An autoscaler of nodes has said that it gets one for a pod that waits."""
    defaults: OperatorDefaults = field(default_factory=lambda: OperatorDefaults(engine_image=""))

    def pods_of(self, deployment: EngineDeployment) -> tuple[EnginePod, ...]:
        return tuple(pod for pod in self.pods if pod.revision == deployment.revision)

    def has_pods(self, deployment: EngineDeployment) -> bool:
        """Or is about to have. One that has none is history, unless it is the wanted one."""
        is_scaled = deployment.replicas > 0 or deployment.existing_replicas > 0
        return is_scaled or any(pod.is_live for pod in self.pods_of(deployment))
