"""What the informers keep of an object: the fields that are read of it, so that thousands of pods are cheap.

Whoever reads another field of a cached object adds it here. What is not kept also wakes nobody: a change of
those fields alone is no change.
"""

import sys
from collections.abc import Mapping
from typing import Any

from octavo_api.names import (
    ANNOTATION_DELETION_COST,
    ANNOTATION_DRAINING,
    ConditionType,
)
from octavo_operator.observed import Manifest

IDENTITY = ("namespace", "name", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
POD_ANNOTATIONS = (ANNOTATION_DRAINING, ANNOTATION_DELETION_COST)
POD_CONDITIONS = ("PodScheduled", "Ready")
CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")
CONTAINER = ("name", "restartCount", "state", "lastState")
DEPLOYMENT_STATUS = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
)
OWNER = ("kind", "name", "controller")
LONGEST_SHARED = 32
"""Texts up to here are kinds, reasons and names, mostly the same in many objects; longer ones are unique."""


def pod(raw: Manifest) -> Manifest:
    """Of an engine or a gateway: of its spec the limits alone, which name accelerators."""
    meta, status = raw["metadata"], raw.get("status") or {}
    conditions = [item for item in status.get("conditions") or () if item["type"] in POD_CONDITIONS]
    containers = status.get("containerStatuses") or ()
    owners = meta.get("ownerReferences") or ()
    return {
        **_picked(raw, "apiVersion", "kind"),
        "metadata": {
            # All labels: whoever asks for metrics of pods may select by any.
            **_picked(meta, *IDENTITY, "labels"),
            "ownerReferences": [_picked(item, *OWNER) for item in owners],
            "annotations": _picked(meta.get("annotations") or {}, *POD_ANNOTATIONS),
        },
        "spec": {"containers": [_limits(item) for item in (raw.get("spec") or {}).get("containers") or ()]},
        "status": {
            **_picked(status, "phase", "podIP"),
            "conditions": [_picked(item, *CONDITION) for item in conditions],
            "containerStatuses": [_picked(item, *CONTAINER) for item in containers],
        },
    }


def _limits(container: Manifest) -> Manifest:
    resources = container.get("resources") or {}
    return {**_picked(container, "name"), "resources": _picked(resources, "limits")}


def deployment(raw: Manifest) -> Manifest:
    """Its spec is kept whole: it is compared with the one we would write."""
    status = raw.get("status") or {}
    # Their times of update are left out: they tell of progress that the counts tell too.
    conditions = [_picked(item, *CONDITION) for item in status.get("conditions") or ()]
    return {**child(raw), "status": {**_picked(status, *DEPLOYMENT_STATUS), "conditions": conditions}}


def child(raw: Manifest) -> Manifest:
    """Any other object that we write: all but its status, which is news to nobody."""
    kept: Manifest = _shared({name: value for name, value in raw.items() if name != "status"})
    return kept


def inference_service(raw: Manifest) -> Manifest:
    """As its neighbours need it. What a visit needs of its own service it reads anew."""
    status = raw.get("status") or {}
    told = [
        item for item in status.get("conditions") or () if item.get("type") == ConditionType.GATEWAY_READY
    ]
    return {
        **_picked(raw, "apiVersion", "kind", "spec"),
        "metadata": _picked(raw["metadata"], *IDENTITY),
        "status": {**_picked(status, "phase"), "conditions": [_shared(item) for item in told]},
    }


def whole(raw: Manifest) -> Manifest:
    """For kinds of which there are few, and short-lived ones."""
    kept: Manifest = _shared(raw)
    return kept


def _picked(raw: Mapping[str, Any], *names: str) -> Manifest:
    """Under our own names, so that all objects share them."""
    return {name: _shared(raw[name]) for name in names if name in raw}


def _shared(value: Any) -> Any:
    """The same value; equal short texts in it are one object in memory."""
    if type(value) is str:  # Python interns no subclass
        return sys.intern(value) if len(value) <= LONGEST_SHARED else value
    if isinstance(value, dict):
        return {sys.intern(name): _shared(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return value
