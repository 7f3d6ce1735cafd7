"""An engine's pod as a frozen value. Reading its manifest ends here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from octavo_api.names import (
    ANNOTATION_DELETION_COST,
    ANNOTATION_DRAINING,
    CONTAINER_NAME,
    DELETION_COST_RELEASED,
    LABEL_REVISION,
)
from octavo_api.quantity import parse_quantity
from octavo_operator.timestamps import moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a container."""

    exit_code: int
    reason: str
    message: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePod:
    name: str
    revision: str
    phase: str
    created: datetime
    ready: bool
    deleting: bool
    uid: str = ""
    ready_since: datetime | None = None
    """None while it is not ready, or it is not known."""
    unready_since: datetime | None = None
    """Since when it has not been ready: of one that never was, since it was made."""
    lapsed: bool = False
    """It runs and is not ready, but has been so since its container started: it may still hold requests."""
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
            ready_since=_ready_since(ready),
            unready_since=(
                None
                if ready.get("status") == "True"
                else moment(ready.get("lastTransitionTime") or "") or created
            ),
            lapsed=_has_lapsed(ready, state),
            accelerators=_extended_resources(raw.get("spec") or {}),
            unschedulable_since=(
                moment(scheduled.get("lastTransitionTime") or "") or created
                if scheduled.get("reason") == "Unschedulable"
                else None
            ),
            draining_since=None if draining is None else moment(draining) or created,
            released=draining is not None
            and annotations.get(ANNOTATION_DELETION_COST) == str(DELETION_COST_RELEASED),
            unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
            waiting_reason=waiting.get("reason", ""),
            waiting_message=waiting.get("message", ""),
            running="running" in state,
            restarts=engine.get("restartCount", 0),
            ended=_ended(state) or _ended(engine.get("lastState") or {}),
        )


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


def _ready_since(ready: Mapping[str, Any]) -> datetime | None:
    changed = ready.get("lastTransitionTime")
    return datetime.fromisoformat(changed) if changed and ready.get("status") == "True" else None


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
        at=moment(terminated.get("finishedAt") or ""),
    )
