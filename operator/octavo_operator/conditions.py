"""The conditions of an InferenceService, each with the object, the number and the remedy. Pure.

Stalled and Reconciling are there only while they are true: kstatus and Argo CD take their presence as trouble
or as work in flight.
"""

from dataclasses import replace

from octavo_api.names import ConditionType, Reason
from octavo_api.service_status import ConditionStatus
from octavo_operator.drain import told
from octavo_operator.observed import Unresolved
from octavo_operator.rollout_texts import failure_text
from octavo_operator.situation import Situation
from octavo_operator.verdict import Verdict


def verdicts_of(at: Situation) -> dict[ConditionType, Verdict]:
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
    if at.failure is not None:
        return replace(_given_up(at), status="False")
    if troubles := [part for part in parts if part.status != "True"]:
        # Both are mere consequences: what explains them comes first.
        weak = (Reason.NO_READY_REPLICAS, Reason.MODEL_RESOLVED)
        return min(troubles, key=lambda part: (part.reason in weak, part.status == "Unknown"))
    if not at.is_complete:
        return replace(_progressing(at), status="Unknown")
    if at.service.replicas == 0:
        return Verdict("True", Reason.SCALED_TO_ZERO, "spec.replicas is 0, as asked for")
    names = ", ".join(at.service.served_names)
    return Verdict("True", Reason.READY, f"{at.counts} serve {names} behind Service {at.service.name}")


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
    if at.failure is not None:
        return _given_up(at)
    if at.is_complete:
        return Verdict("True", Reason.ROLLOUT_COMPLETE, f"{at.counts} available")
    if at.update is not None and at.update.deadline_exceeded:
        return Verdict("False", Reason.PROGRESS_DEADLINE_EXCEEDED, _deadline(at))
    beside = f"; beside revision {', '.join(item.revision for item in at.old)}" if at.old else ""
    message = f"{at.counts} available{beside}{told(at.leaving)}"
    if at.is_held_back:
        return Verdict("Unknown", Reason.ROLLOUT_PAUSED, f"{message}; {_paused(at)}")
    if at.preflight is not None:
        return Verdict("Unknown", Reason.PREFLIGHT, at.preflight.message)
    if at.canary:
        return Verdict("True", Reason.CANARY_STEP, f"{at.canary}; {message}")
    return Verdict("True", Reason.NEW_REVISION if at.old else Reason.SCALING, message)


def _given_up(at: Situation) -> Verdict:
    """As condition Progressing has it."""
    serves = at.available_replicas > 0 or at.service.replicas == 0
    if serves and not at.old:
        return Verdict("False", Reason.ROLLED_BACK, failure_text(at.record))
    return Verdict("True", Reason.ROLLING_BACK, f"{failure_text(at.record)}{told(at.leaving)}")


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
    name = at.uri + (f" at commit {at.commit}" if at.commit else "")
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
    if at.preflight is not None:
        return Verdict("Unknown", Reason.PREFLIGHT, at.preflight.message)
    if at.finding is None and at.ready_of_update == 0:
        message = f"{at.counts} ready; it starts when an older revision has made room"
        return Verdict("Unknown", Reason.NEW_REVISION, message)
    if at.finding is None:
        return Verdict("True", Reason.WARMED_UP, f"{at.counts} warmed up")
    if at.finding.part == "Engine" and at.finding.failed:
        return Verdict("False", at.finding.reason, f"{at.counts} ready; {at.finding.message}")
    if at.finding.failed:
        return Verdict("False", Reason.WAITING_FOR_MODEL, f"{at.counts} ready; see condition ModelReady")
    return Verdict("Unknown", at.finding.reason, f"{at.counts} ready; {at.finding.message}")


def _stalled(at: Situation) -> Verdict | None:
    for refusal in at.refusals:
        if refusal.terminal:
            return Verdict("True", refusal.reason, f"{refusal.child}: {refusal.message}")
    if isinstance(at.unresolved, Unresolved) and at.unresolved.terminal:
        return Verdict("True", at.unresolved.reason, at.unresolved.message)
    if at.failure is not None:
        return replace(_given_up(at), status="True")
    if at.finding is not None and at.finding.terminal:
        return Verdict("True", at.finding.reason, at.finding.message)
    if at.gateway.reason in (Reason.DUPLICATE_SERVED_NAME, Reason.NAME_TAKEN):
        return replace(at.gateway, status="True")
    if at.preflight is not None and at.preflight.outcome == "failed":
        return Verdict("True", at.preflight.reason, at.preflight.message)
    if at.update is not None and at.update.deadline_exceeded and at.finding is not None:
        return Verdict("True", Reason.PROGRESS_DEADLINE_EXCEEDED, _deadline(at))
    return None


def _deadline(at: Situation) -> str:
    seconds = at.service.rollout.progress_deadline_seconds
    why = at.finding.message if at.finding else "no reason was reported"
    return f"no progress within spec.rollout.progressDeadlineSeconds ({seconds}): {at.counts} ready; {why}"
