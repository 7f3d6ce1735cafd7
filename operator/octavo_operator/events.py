"""Events of an InferenceService: steps that a condition would only show while they last. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from octavo_api.names import API_VERSION, KIND, OPERATOR_NAME
from octavo_operator.drain import Draining
from octavo_operator.observed import Manifest, ObjectKey

NOTE_LIMIT = 1024
EventReason = Literal[
    "RolloutStarted",
    "RolloutCompleted",
    "RolledBack",
    "StrategyFallback",
    "CanaryStepPassed",
    "CanaryPromoted",
    "DrainStarted",
    "DrainTimedOut",
    "ScaledToZero",
    "WokenUp",
]


@dataclass(frozen=True, slots=True)
class Event:
    reason: EventReason
    note: str
    type: Literal["Normal", "Warning"] = "Normal"


def drain_event(item: Draining, timeout_seconds: int) -> Event | None:
    """None for steps that nobody waits for."""
    about = f"pod {item.pod.name} of revision {item.pod.revision}"
    if item.timed_out:
        note = (
            f"{about} still has {item.in_flight} requests in flight after spec.drain.timeoutSeconds "
            f"({timeout_seconds}); it goes now, and they are continued on another replica where that is exact"
        )
        return Event("DrainTimedOut", note, "Warning")
    if item.is_new and item.pod.is_serving:
        return Event("DrainStarted", f"{about} gets no new requests; {item.in_flight} are in flight")
    return None


def event_manifest(event: Event, key: ObjectKey, uid: str, now: datetime) -> Manifest:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": key.namespace, "generateName": f"{key.name}-"},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": OPERATOR_NAME,
        "reportingInstance": OPERATOR_NAME,
        "action": event.reason,
        "reason": event.reason,
        "type": event.type,
        "note": event.note[:NOTE_LIMIT],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
    }
