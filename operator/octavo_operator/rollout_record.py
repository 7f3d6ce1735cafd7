"""How a rollout's memory moves on: begun, a step further, fallen back to Replace, given up, complete. Pure.

What it decides takes effect only once it is written in the status: an operator that dies in between decides
the same again.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from octavo_api.names import Reason
from octavo_api.rollout_status import EffectiveStrategy, RolloutFailure, RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.diagnosis import crash_loop, diagnose
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.gate import GateVerdict, gate
from octavo_operator.observed import Observed
from octavo_operator.preflight import PreflightView
from octavo_operator.probation import crash_on_probation
from octavo_operator.revision import short_hash
from octavo_operator.rollout_view import canary_step, pods_of_share
from octavo_operator.shortage import accelerator_shortage
from octavo_operator.timestamps import timestamp

# A pod that has crashed and is ready again may be about to crash again.
PROVED_AFTER = timedelta(seconds=15)

# A pod that no node has room for may wait for one that is just being freed.
SHORTAGE_BELIEVED_AFTER = timedelta(seconds=30)


def current(
    service: InferenceService, before: RolloutRecord | None, asked: str, now: datetime
) -> RolloutRecord:
    """The record of the revision that is asked for: a fresh one when another was asked for before."""
    before = before or RolloutRecord()
    if before.revision != asked:
        failed = before.abandoned
        if before.failure is not None:
            failed = "" if before.failure.was_complete else before.failure.revision
        return RolloutRecord(
            revision=asked,
            stable=before.stable,
            previous=before.previous,
            completed_at=before.completed_at,
            strategy=_strategy(service, "Surge", is_return=asked == before.stable),
            started_at=timestamp(now),
            abandoned="" if failed == asked else failed,
        )
    is_return = asked == before.stable
    strategy = _strategy(service, before.strategy, is_return=is_return)
    return replace(before, strategy=strategy, failure=_still_failed(service, before.failure))


def _still_failed(service: InferenceService, failure: RolloutFailure | None) -> RolloutFailure | None:
    """With automatic rollback off, or under other rules, it is tried in spite of what happened."""
    is_judged_alike = failure is not None and failure.settings in ("", settings_hash(service))
    return failure if service.rollout.auto_rollback and is_judged_alike else None


def settings_hash(service: InferenceService) -> str:
    """Of all in spec.rollout that a rollout is judged by."""
    return short_hash(repr(replace(service.rollout, paused=False, revision_history_limit=0)))


def _strategy(service: InferenceService, before: EffectiveStrategy, *, is_return: bool) -> EffectiveStrategy:
    """A change in the spec holds at once. What has proved itself is no canary when it comes back."""
    asked = service.rollout.strategy
    if asked == "Canary":
        return "Surge" if is_return else "Canary"
    if asked == "Auto":
        return "Replace" if before == "Replace" else "Surge"
    return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    record: RolloutRecord
    verdict: GateVerdict | None = None
    """Of the canary's step under way."""


def advance(
    observed: Observed,
    service: InferenceService,
    record: RolloutRecord,
    *,
    preflight: PreflightView | None,
    is_complete: bool,
    now: datetime,
) -> Advance:
    """One look further; `is_complete` is whether the asked revision stands alone and whole."""
    has_fallen_back = _has_fallen_back(observed, service, record, now)
    if record.failure is not None:
        return Advance(record=replace(record, strategy="Replace") if has_fallen_back else record)
    if (relapsed := _relapsed(observed, service, record, now)) is not None:
        return Advance(record=relapsed)
    update = next((item for item in observed.deployments if item.revision == record.revision), None)
    if is_complete and any(date > now for date in proved_at(observed, record)):
        return Advance(record=record)
    if is_complete and update is not None:
        # With no pods at all a revision has proved nothing.
        return Advance(record=_completed(record, now) if update.replicas > 0 else record)
    verdict = _verdict(observed, service, record)
    if (failure := _failure(observed, service, record, update, preflight, verdict, now)) is not None:
        return Advance(record=replace(record, failure=failure), verdict=verdict)
    if service.rollout.paused:
        return Advance(record=record, verdict=verdict)
    if has_fallen_back:
        return Advance(record=replace(record, strategy="Replace"))
    return Advance(record=_stepped(observed, service, record, verdict, now), verdict=verdict)


def _completed(record: RolloutRecord, now: datetime) -> RolloutRecord:
    done = replace(record, step_started_at="", passed_percent=0, abandoned="")
    if record.stable == record.revision:
        return done
    done = replace(done, stable=record.revision, previous="", completed_at="")
    if not record.stable or record.revision == record.previous:
        # What has served before is on no probation: it may have been asked for because the other was bad.
        return done
    return replace(done, previous=record.stable, completed_at=timestamp(now))


def _relapsed(
    observed: Observed, service: InferenceService, record: RolloutRecord, now: datetime
) -> RolloutRecord | None:
    crash = crash_on_probation(observed, service, record, now)
    if crash is None or not service.rollout.auto_rollback or not _stands(observed, record.previous):
        return None
    failure = _given_up(service, record, (Reason.CRASH_LOOP, crash), now)
    failure = replace(failure, was_complete=True)
    return replace(record, stable=record.previous, previous="", completed_at="", failure=failure)


def _stands(observed: Observed, revision: str) -> bool:
    return any(item.revision == revision and not item.deleting for item in observed.deployments)


def _given_up(
    service: InferenceService, record: RolloutRecord, cause: tuple[Reason, str], now: datetime
) -> RolloutFailure:
    reason, message = cause
    return RolloutFailure(
        revision=record.revision,
        reason=reason,
        message=message,
        at=timestamp(now),
        settings=settings_hash(service),
    )


def _verdict(observed: Observed, service: InferenceService, record: RolloutRecord) -> GateVerdict | None:
    if canary_step(service, record) is None or observed.window is None or not record.step_started_at:
        return None
    return gate(service.rollout.canary.gate, observed.window, record.revision, record.stable)


def _failure(
    observed: Observed,
    service: InferenceService,
    record: RolloutRecord,
    update: EngineDeployment | None,
    preflight: PreflightView | None,
    verdict: GateVerdict | None,
    now: datetime,
) -> RolloutFailure | None:
    """Nothing is given up where there is nothing to go back to: the conditions tell, and it tries again."""
    has_stable = record.stable != record.revision and _stands(observed, record.stable)
    if not service.rollout.auto_rollback or not has_stable:
        return None
    cause = _cause(observed, service, record, update, preflight, verdict, now)
    return _given_up(service, record, cause, now) if cause is not None else None


def _cause(
    observed: Observed,
    service: InferenceService,
    record: RolloutRecord,
    update: EngineDeployment | None,
    preflight: PreflightView | None,
    verdict: GateVerdict | None,
    now: datetime,
) -> tuple[Reason, str] | None:
    if update is None:
        is_refused = preflight is not None and preflight.outcome == "failed"
        return (preflight.reason, preflight.message) if preflight is not None and is_refused else None
    finding = diagnose(update, observed.pods)
    if finding is not None and finding.terminal:
        return finding.reason, finding.message
    if (crash := crash_loop(observed.pods, record.revision)) is not None:
        return Reason.CRASH_LOOP, crash
    if update.deadline_exceeded or any(due <= now for due in deadlines(observed, service, record)):
        seconds = service.rollout.progress_deadline_seconds
        why = finding.message if finding is not None else "no reason was reported"
        message = f"no progress within spec.rollout.progressDeadlineSeconds ({seconds}): {why}"
        return Reason.PROGRESS_DEADLINE_EXCEEDED, message
    if verdict is not None and verdict.outcome == "fail":
        return Reason.GATE_FAILED, verdict.message
    return None


def deadlines(observed: Observed, service: InferenceService, record: RolloutRecord) -> list[datetime]:
    """By when each pod of the revision that is not ready has to be.

    The Deployment's own deadline ends with the first time that it is complete, and one made with no replicas
    is complete at once.
    """
    seconds = timedelta(seconds=service.rollout.progress_deadline_seconds)
    return [
        pod.unready_since + seconds
        for pod in observed.pods
        if pod.revision == record.revision
        and pod.is_live
        and pod.draining_since is None
        and pod.unready_since is not None
    ]


def proved_at(observed: Observed, record: RolloutRecord) -> list[datetime]:
    """When each pod of the revision that has crashed before has been ready for long enough to count on."""
    return [
        pod.ready_since + PROVED_AFTER
        for pod in observed.pods
        if pod.revision == record.revision
        and pod.is_live
        and pod.restarts > 0
        and pod.ready_since is not None
    ]


def _has_fallen_back(
    observed: Observed, service: InferenceService, record: RolloutRecord, now: datetime
) -> bool:
    """Auto: no accelerator is free, and no autoscaler of nodes is getting one."""
    if service.rollout.strategy != "Auto" or record.strategy != "Surge" or observed.nodes_are_coming:
        return False
    due = shortage_due(observed, record)
    return due is not None and due <= now


def coming_revision(record: RolloutRecord) -> str:
    """After a failure the one that we go back to."""
    return record.revision if record.failure is None else record.stable


def shortage_due(observed: Observed, record: RolloutRecord) -> datetime | None:
    """When a shortage of accelerators counts as real; None while there is none, or nobody could make room."""
    coming = coming_revision(record)
    own = [pod for pod in observed.pods if pod.revision == coming]
    others = any(pod.is_live and pod.revision != coming for pod in observed.pods)
    shortage = accelerator_shortage(own)
    if shortage is None or not others or shortage.pod.unschedulable_since is None:
        return None
    return shortage.pod.unschedulable_since + SHORTAGE_BELIEVED_AFTER


def _stepped(
    observed: Observed,
    service: InferenceService,
    record: RolloutRecord,
    verdict: GateVerdict | None,
    now: datetime,
) -> RolloutRecord:
    step = canary_step(service, record)
    if step is None:
        return record
    if not record.step_started_at:
        ready = sum(pod.ready and pod.revision == record.revision for pod in observed.pods if pod.is_live)
        is_there = 0 < ready >= pods_of_share(service.replicas, step.weight_percent)
        return replace(record, step_started_at=timestamp(now)) if is_there else record
    if verdict is None or verdict.outcome != "pass" or observed.window is None:
        return record
    # An operator that was restarted judges by what it has seen itself.
    if now - observed.window.since < timedelta(seconds=step.pause_seconds):
        return record
    return replace(record, passed_percent=step.weight_percent, step_started_at="")


@dataclass(frozen=True, slots=True)
class RolloutEnd:
    outcome: Literal["complete", "rolled_back", "superseded"]
    reason: str = ""
    """Of a rollback, in one word."""


def rollout_end(before: RolloutRecord | None, after: RolloutRecord | None) -> RolloutEnd | None:
    """What ended between two statuses; None where nothing did. A service's first rollout counts too."""
    if after is None:
        return None
    before = before or RolloutRecord()
    is_new = before.revision != after.revision
    if is_new and before.revision not in ("", before.stable) and before.failure is None:
        return RolloutEnd("superseded")
    if after.failure is not None and (is_new or before.failure is None):
        return RolloutEnd("rolled_back", after.failure.reason)
    return RolloutEnd("complete") if after.stable not in ("", before.stable) else None
