"""From zero replicas to one, and from any number to zero: the steps that an HPA does not take. Pure.

Between them the HPA decides. KEDA takes these steps itself.
"""

from datetime import datetime

from octavo_api.names import ConditionType, Reason
from octavo_api.spec import InferenceService
from octavo_operator.autoscaler_seen import Demand


def activation(
    service: InferenceService, demand: Demand | None, now: datetime, *, rolling: bool
) -> int | None:
    """What spec.replicas must become; None when it stays as it is."""
    limit = idle_limit(service)
    if limit is None or demand is None:
        return None
    if service.replicas == 0:
        return 1 if demand.waiting > 0 else None
    idle = idle_seconds(service, demand, now)
    return 0 if idle is not None and idle >= limit and not rolling else None


def idle_limit(service: InferenceService) -> int | None:
    """spec.autoscaling.idleSeconds, where it is for us to act on it."""
    spec = service.autoscaling
    return None if spec is None or spec.provider != "HPA" else spec.idle_seconds


def idle_seconds(service: InferenceService, demand: Demand, now: datetime) -> float | None:
    """How long nobody has used it, though it could be used; None when that is not known.

    A gateway is older than a service that has just come up, and has never had a request for it.
    """
    available = service.status.condition(ConditionType.AVAILABLE)
    if demand.idle_seconds is None or available is None:
        return None
    if available.status != "True" or available.reason != Reason.AVAILABLE:
        return None
    since = datetime.fromisoformat(available.last_transition_time)
    return 0.0 if demand.waiting > 0 else min(demand.idle_seconds, (now - since).total_seconds())
