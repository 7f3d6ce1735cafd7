"""The status of an InferenceService, from what was seen, planned and refused. Pure.

Conditions say True, False or Unknown and name the object, the number and the remedy. Stalled and Reconciling
are there only while they are true: kstatus and Argo CD take their presence as trouble or as work in flight.
Nothing in here moves by itself: the same world gives the same status, which is then not written again.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from octavo_api.names import LABEL_SERVICE, ConditionType, Reason
from octavo_api.service_status import Condition, ConditionStatus, RevisionStatus, ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.diagnosis import Finding, diagnose, last_failure
from octavo_operator.drain import Draining, told
from octavo_operator.gateway_status import gateway_ready
from octavo_operator.observed import EngineDeployment, Observed, Refusal, Resolving, Unresolved
from octavo_operator.plan import Plan
from octavo_operator.verdict import MESSAGE_LIMIT, Verdict

# As the CRD bounds the list; more revisions with pods than that would take as many changes within one drain.
MOST_REVISIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the conditions are made of."""

    service: InferenceService
    update: EngineDeployment | None
    revision: str
    commit: str | None
    old: tuple[EngineDeployment, ...]
    """Other revisions that have pods, or are about to have."""
    leaving: tuple[Draining, ...]
    unresolved: Resolving | Unresolved | None
    finding: Finding | None
    gateway: Verdict
    refusals: tuple[Refusal, ...]

    @property
    def available_replicas(self) -> int:
        return sum(item.available_replicas for item in (self.update, *self.old) if item is not None)

    @property
    def ready_of_update(self) -> int:
        return self.update.ready_replicas if self.update else 0

    @property
    def is_complete(self) -> bool:
        return (
            self.update is not None
            and self.update.is_available
            and self.update.replicas == self.service.replicas
            and not self.old
            and not self.leaving
        )

    @property
    def is_held_back(self) -> bool:
        return self.service.rollout.paused and (self.update is None or bool(self.old))


def status_of(observed: Observed, todo: Plan, refusals: tuple[Refusal, ...], now: datetime) -> ServiceStatus:
    if observed.service is None:
        return _status_of_unreadable(observed, now)
    situation = _situation(observed, todo, refusals, observed.service)
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
        update_revision=situation.revision,
        revisions=_revisions(situation, todo),
        model_commit=situation.commit or "",
        last_failure=last_failure(observed.pods) or observed.status.last_failure,
    )
    return _with_conditions(status, _verdicts(situation), observed, now)


def _situation(
    observed: Observed, todo: Plan, refusals: tuple[Refusal, ...], service: InferenceService
) -> Situation:
    revision = todo.revision.hash8 if todo.revision else ""
    update = next((item for item in observed.deployments if item.revision == revision), None)
    old = tuple(item for item in observed.deployments if item is not update and observed.has_pods(item))
    is_unstarted = update is None and service.rollout.paused
    return Situation(
        service=service,
        update=update,
        revision=revision,
        commit=todo.revision.commit if todo.revision else None,
        old=old,
        leaving=todo.leaving,
        unresolved=todo.unresolved,
        finding=None if todo.unresolved or is_unstarted else diagnose(update, observed.pods),
        gateway=gateway_ready(observed.gateway, service.name),
        refusals=refusals,
    )


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


def _verdicts(at: Situation) -> dict[ConditionType, Verdict]:
    model, engine, available = _model_ready(at), _engine_ready(at), _available(at)
    verdicts = {
        ConditionType.READY: _ready(at, model, engine, available, at.gateway),
        ConditionType.AVAILABLE: available,
        ConditionType.PROGRESSING: _progressing(at),
        ConditionType.MODEL_READY: model,
        ConditionType.ENGINE_READY: engine,
        ConditionType.GATEWAY_READY: at.gateway,
    }
    if (stalled := _stalled(at)) is not None:
        verdicts[ConditionType.STALLED] = stalled
    elif (ready := verdicts[ConditionType.READY]).status != "True":
        verdicts[ConditionType.RECONCILING] = Verdict("True", ready.reason, ready.message)
    return verdicts


def _ready(at: Situation, *parts: Verdict) -> Verdict:
    """The worst part speaks for the whole; what is not known is not ready."""
    if at.refusals:
        refusal = at.refusals[0]
        return Verdict("False", refusal.reason, f"{refusal.child}: {refusal.message}")
    if troubles := [part for part in parts if part.status != "True"]:
        # Both are mere consequences: what explains them comes first.
        weak = (Reason.NO_READY_REPLICAS, Reason.MODEL_RESOLVED)
        return min(troubles, key=lambda part: (part.reason in weak, part.status == "Unknown"))
    if not at.is_complete:
        return replace(_progressing(at), status="Unknown")
    if at.service.replicas == 0:
        return Verdict("True", Reason.SCALED_TO_ZERO, "spec.replicas is 0, as asked for")
    names = ", ".join(at.service.served_names)
    return Verdict("True", Reason.READY, f"{_counts(at)} serve {names} behind Service {at.service.name}")


def _available(at: Situation) -> Verdict:
    if at.available_replicas > 0:
        message = f"{at.available_replicas} ready replicas behind Service {at.service.name}"
        return Verdict("True", Reason.AVAILABLE, message)
    if at.service.replicas == 0:
        return Verdict("True", Reason.SCALED_TO_ZERO, "spec.replicas is 0, as asked for")
    return Verdict("False", Reason.NO_READY_REPLICAS, f"0 of {at.service.replicas} replicas are ready")


def _progressing(at: Situation) -> Verdict:
    if at.unresolved is not None:
        return Verdict("Unknown", Reason.WAITING_FOR_MODEL, at.unresolved.message)
    if at.is_complete:
        return Verdict("True", Reason.ROLLOUT_COMPLETE, f"{_counts(at)} available")
    if at.update is not None and at.update.deadline_exceeded:
        return Verdict("False", Reason.PROGRESS_DEADLINE_EXCEEDED, _deadline(at))
    beside = f"; beside revision {', '.join(item.revision for item in at.old)}" if at.old else ""
    message = f"{_counts(at)} available{beside}{told(at.leaving)}"
    if at.is_held_back:
        return Verdict("Unknown", Reason.ROLLOUT_PAUSED, f"{message}; {_paused(at)}")
    return Verdict("True", Reason.NEW_REVISION if at.old else Reason.SCALING, message)


def _paused(at: Situation) -> str:
    return f"spec.rollout.paused holds revision {at.revision} back; set it to false to go on"


def _model_ready(at: Situation) -> Verdict:
    if isinstance(at.unresolved, Unresolved):
        # An unreachable hub says nothing about the model.
        is_known = at.unresolved.reason != Reason.MODEL_FETCH_FAILED
        status: ConditionStatus = "False" if is_known else "Unknown"
        return Verdict(status, at.unresolved.reason, at.unresolved.message)
    if at.unresolved is not None:
        return Verdict("Unknown", Reason.RESOLVING_MODEL, at.unresolved.message)
    finding = at.finding
    if finding is not None and finding.part == "Model" and finding.failed:
        return Verdict("False", finding.reason, finding.message)
    name = at.service.model.uri + (f" at commit {at.commit}" if at.commit else "")
    if at.ready_of_update > 0:
        return Verdict("True", Reason.MODEL_LOADED, f"{name} is loaded in {at.ready_of_update} replicas")
    if at.service.replicas == 0:
        return Verdict("True", Reason.MODEL_RESOLVED, f"{name} is not loaded: spec.replicas is 0")
    if finding is not None and finding.part == "Model":
        return Verdict("Unknown", finding.reason, finding.message)
    reason = Reason.MODEL_RESOLVED if at.commit or at.finding is None else Reason.LOADING_WEIGHTS
    return Verdict("Unknown", reason, f"{name}: no engine has read it yet")


def _engine_ready(at: Situation) -> Verdict:
    refused = next((refusal for refusal in at.refusals if refusal.child.startswith("Deployment")), None)
    if refused is not None:
        return Verdict("False", refused.reason, f"{refused.child}: {refused.message}")
    if at.unresolved is not None:
        return Verdict("Unknown", Reason.WAITING_FOR_MODEL, "the engine starts when the model is resolved")
    if at.finding is None and at.service.replicas == 0:
        return Verdict("True", Reason.SCALED_TO_ZERO, "spec.replicas is 0, as asked for")
    if at.finding is None and at.is_held_back and at.update is None:
        return Verdict("Unknown", Reason.ROLLOUT_PAUSED, _paused(at))
    if at.finding is None and at.ready_of_update == 0:
        message = f"{_counts(at)} ready; it starts when an older revision has made room"
        return Verdict("Unknown", Reason.NEW_REVISION, message)
    if at.finding is None:
        return Verdict("True", Reason.WARMED_UP, f"{_counts(at)} warmed up")
    if at.finding.part == "Engine" and at.finding.failed:
        return Verdict("False", at.finding.reason, f"{_counts(at)} ready; {at.finding.message}")
    if at.finding.failed:
        return Verdict("False", Reason.WAITING_FOR_MODEL, f"{_counts(at)} ready; see condition ModelReady")
    return Verdict("Unknown", at.finding.reason, f"{_counts(at)} ready; {at.finding.message}")


def _stalled(at: Situation) -> Verdict | None:
    for refusal in at.refusals:
        if refusal.terminal:
            return Verdict("True", refusal.reason, f"{refusal.child}: {refusal.message}")
    if isinstance(at.unresolved, Unresolved) and at.unresolved.terminal:
        return Verdict("True", at.unresolved.reason, at.unresolved.message)
    if at.finding is not None and at.finding.terminal:
        return Verdict("True", at.finding.reason, at.finding.message)
    if at.gateway.reason in (Reason.DUPLICATE_SERVED_NAME, Reason.NAME_TAKEN):
        return replace(at.gateway, status="True")
    if at.update is not None and at.update.deadline_exceeded and at.finding is not None:
        return Verdict("True", Reason.PROGRESS_DEADLINE_EXCEEDED, _deadline(at))
    return None


def _deadline(at: Situation) -> str:
    seconds = at.service.rollout.progress_deadline_seconds
    why = at.finding.message if at.finding else "no reason was reported"
    return f"no progress within spec.rollout.progressDeadlineSeconds ({seconds}): {_counts(at)} ready; {why}"


def _counts(at: Situation) -> str:
    return f"{at.ready_of_update}/{at.service.replicas} replicas of revision {at.revision}"


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
        last_transition_time=before.last_transition_time if before and is_same else _timestamp(now),
    )


def _timestamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
