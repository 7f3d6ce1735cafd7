"""The status of an InferenceService, from what was seen, planned and refused. Pure.

Nothing in here moves by itself: the same world gives the same status, which is then not written again.
"""

from dataclasses import replace
from datetime import datetime

from octavo_api.names import LABEL_SERVICE, ConditionType, Reason
from octavo_api.service_status import Condition, RevisionStatus, ServiceStatus
from octavo_operator.autoscaling import autoscaling_verdicts
from octavo_operator.conditions import verdicts_of
from octavo_operator.diagnosis import last_failure
from octavo_operator.observed import Observed, Refusal
from octavo_operator.plan import Plan
from octavo_operator.situation import Situation, situation_of
from octavo_operator.timestamps import timestamp
from octavo_operator.verdict import MESSAGE_LIMIT, Verdict

# As the CRD bounds the list; more revisions with pods than that would take as many changes within one drain.
MOST_REVISIONS = 16


def status_of(observed: Observed, todo: Plan, refusals: tuple[Refusal, ...], now: datetime) -> ServiceStatus:
    if observed.service is None:
        return _status_of_unreadable(observed, now)
    situation = situation_of(observed, todo, refusals, observed.service)
    update, everything = situation.update, observed.deployments
    ready = [item for item in everything if item.ready_replicas > 0]
    serving = max(ready, key=lambda item: (item.is_available, item.ready_replicas), default=None)
    status = ServiceStatus(
        observed_generation=observed.generation,
        # An autoscaler that reads more than it asked for, because of a surge, would ask for more again.
        replicas=min(sum(item.existing_replicas for item in everything), observed.service.replicas),
        ready_replicas=sum(item.ready_replicas for item in everything),
        updated_replicas=update.existing_replicas if update else 0,
        available_replicas=sum(item.available_replicas for item in everything),
        selector=f"{LABEL_SERVICE}={observed.key.name}",
        url=f"{'https' if observed.defaults.gateway.tls_secret else 'http'}://{observed.key.name}.{observed.key.namespace}.svc",
        current_revision=serving.revision if serving else "",
        update_revision=situation.asked,
        revisions=_revisions(situation, todo),
        model_commit=situation.commit or "",
        last_failure=last_failure(observed.pods) or observed.status.last_failure,
        rollout=todo.record,
        autoscaler=todo.autoscaler.kind,
        start_seconds=todo.autoscaler.start_seconds,
    )
    verdicts = verdicts_of(situation) | autoscaling_verdicts(observed, refusals, now)
    return _with_conditions(status, verdicts, observed, now)


def _revisions(at: Situation, todo: Plan) -> tuple[RevisionStatus, ...]:
    standing = [item for item in (at.update, *at.old) if item is not None]
    standing.sort(key=lambda item: item.created, reverse=True)
    return tuple(
        RevisionStatus(
            name=item.revision,
            weight_percent=todo.rollout.weights.get(item.revision, 0),
            replicas=item.existing_replicas,
            ready_replicas=item.ready_replicas,
        )
        for item in standing[:MOST_REVISIONS]
    )


def _status_of_unreadable(observed: Observed, now: datetime) -> ServiceStatus:
    """Counts stay as they were: what runs, runs on."""
    verdict = Verdict("False", Reason.INVALID_SPEC, observed.invalid)
    verdicts = {
        ConditionType.READY: verdict,
        ConditionType.STALLED: replace(verdict, status="True"),
    }
    status = replace(observed.status, observed_generation=observed.generation)
    return _with_conditions(status, verdicts, observed, now)


def _with_conditions(
    status: ServiceStatus, verdicts: dict[ConditionType, Verdict], observed: Observed, now: datetime
) -> ServiceStatus:
    conditions = tuple(_condition(type_, verdict, observed, now) for type_, verdict in verdicts.items())
    return replace(status, conditions=conditions, phase=_phase(verdicts))


def _phase(verdicts: dict[ConditionType, Verdict]) -> str:
    """For the eyes only; programs read conditions."""
    if ConditionType.STALLED in verdicts:
        return "Stalled"
    ready = verdicts[ConditionType.READY]
    if ready.status == "True":
        return "ScaledToZero" if ready.reason == Reason.SCALED_TO_ZERO else "Ready"
    return "Updating" if verdicts[ConditionType.AVAILABLE].status == "True" else "Starting"


def _condition(type_: ConditionType, verdict: Verdict, observed: Observed, now: datetime) -> Condition:
    before = observed.status.condition(type_)
    is_same = before is not None and before.status == verdict.status
    return Condition(
        type=type_,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:MESSAGE_LIMIT],
        observed_generation=observed.generation,
        last_transition_time=before.last_transition_time if before and is_same else timestamp(now),
    )
