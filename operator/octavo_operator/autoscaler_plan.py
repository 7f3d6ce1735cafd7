"""What to do about a service's autoscaler. Pure; a part of the plan."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from octavo_api.spec import InferenceService
from octavo_operator.activation import activation, idle_limit, idle_seconds
from octavo_operator.autoscaler_seen import Demand
from octavo_operator.autoscaling import first_samples_by
from octavo_operator.events import Event
from octavo_operator.observed import Manifest, Observed
from octavo_operator.render.autoscaler import autoscaler
from octavo_operator.start_time import start_seconds

# Nothing tells us of a change of KEDA's objects, whose kind may not exist.
LOOK_AT_KEDA = timedelta(seconds=30)
# How soon gateways that did not answer are asked again.
ASK_GATEWAYS_AGAIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerPlan:
    wanted: tuple[Manifest, ...] = ()
    remove: tuple[Manifest, ...] = ()
    """Ours, and no longer asked for."""
    kind: str = ""
    """What status.autoscaler says: also of one that is about to be removed, until it is gone."""
    start_seconds: int = 0
    replicas: int | None = None
    """What spec.replicas must become; None when it stays as it is."""
    requeue_after: timedelta | None = None
    events: tuple[Event, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        removed = (f"delete {item['kind']} {item['metadata']['name']}" for item in self.remove)
        scaled = () if self.replicas is None else (f"scale to {self.replicas}: {self.events[0].note}",)
        return (*removed, *scaled)


def plan_autoscaler(observed: Observed, service: InferenceService, now: datetime) -> AutoscalerPlan:
    seen = observed.autoscaler
    standing = [item for item in observed.deployments if not item.deleting and observed.has_pods(item)]
    rolling = len(standing) > 1
    start = start_seconds(observed.pods, observed.status.start_seconds)
    wanted = autoscaler(service, start, rolling=rolling, prometheus_url=observed.defaults.prometheus_url)
    if not seen.is_keda_served:
        wanted = tuple(item for item in wanted if item["kind"] != "ScaledObject")
    kinds = [item["kind"] for item in wanted]
    remove = tuple(item for item in seen.own if item["kind"] not in kinds)
    replicas = activation(service, seen.demand, now, rolling=rolling)
    return AutoscalerPlan(
        wanted=wanted,
        remove=remove,
        kind=next((item["kind"] for item in (*remove, *wanted)), ""),
        start_seconds=start,
        replicas=replicas,
        requeue_after=timedelta(0) if replicas is not None else _requeue_after(observed, service, now),
        events=() if replicas is None else (_event(service, replicas),),
    )


def _requeue_after(observed: Observed, service: InferenceService, now: datetime) -> timedelta | None:
    """A service at zero is woken, and an HPA's own changes wake it."""
    spec = service.autoscaling
    if spec is None or service.replicas == 0:
        return None
    if spec.provider == "KEDA":
        return LOOK_AT_KEDA
    waits = [first_samples_by(observed, now)]
    if (limit := idle_limit(service)) is not None:
        waits.append(_idle_in(service, observed.autoscaler.demand, limit, now))
    return min((wait for wait in waits if wait is not None), default=None)


def _idle_in(service: InferenceService, demand: Demand | None, limit: int, now: datetime) -> timedelta | None:
    """When it can have been idle for long enough, at the earliest: whatever comes meanwhile puts that off."""
    if demand is None or demand.idle_seconds is None:
        return ASK_GATEWAYS_AGAIN
    idle = idle_seconds(service, demand, now)
    if idle is None:
        return None
    return timedelta(seconds=limit - idle) if idle < limit else ASK_GATEWAYS_AGAIN


def _event(service: InferenceService, replicas: int) -> Event:
    if replicas > 0:
        return Event("WokenUp", f"a request waits for {service.name}: spec.replicas becomes {replicas}")
    limit = idle_limit(service)
    note = f"no request for {limit} s (spec.autoscaling.idleSeconds): spec.replicas becomes 0"
    return Event("ScaledToZero", note)
