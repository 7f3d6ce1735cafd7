"""A rollout in sentences: what its record has learnt, why it was given up, what a canary waits for. Pure."""

from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.events import Event
from octavo_operator.gate import GateVerdict
from octavo_operator.rollout_record import coming_revision
from octavo_operator.rollout_view import canary_step


def rollout_events(
    service: InferenceService,
    before: RolloutRecord | None,
    after: RolloutRecord | None,
    verdict: GateVerdict | None,
) -> tuple[Event, ...]:
    """What `after` knows and `before`, the record of the same revision, did not."""
    if before is None or after is None or before == after:
        return ()
    if after.failure is not None and before.failure is None:
        back = f"; back to revision {after.stable}" if after.stable else ""
        note = f"revision {after.revision} is given up: {after.failure.reason}: {after.failure.message}{back}"
        return (Event("RolledBack", note, "Warning"),)
    if before.stable != after.stable and after.failure is None:
        note = f"revision {after.revision} has replaced revision {before.stable}"
        return (Event("RolloutCompleted", note),) if before.stable else ()
    if before.strategy != after.strategy:
        note = f"no accelerator is free for revision {coming_revision(after)}: an old pod makes room for it"
        return (Event("StrategyFallback", note, "Warning"),)
    figures = f": {verdict.message}" if verdict is not None else ""
    if after.passed_percent > before.passed_percent:
        step = canary_step(service, after)
        if step is None:
            return (Event("CanaryPromoted", f"revision {after.revision} gets all requests{figures}"),)
        note = f"revision {after.revision} goes on to {step.weight_percent} %{figures}"
        return (Event("CanaryStepPassed", note),)
    return ()


def failure_text(record: RolloutRecord) -> str:
    """Why the asked revision does not run, what does, and what to do."""
    assert record.failure is not None
    failure = record.failure
    stays = f"; back to revision {record.stable}" if record.stable else ""
    return (
        f"revision {failure.revision} was given up: {failure.message}{stays}; to try again change spec "
        "(spec.rollout counts), or set spec.rollout.autoRollback to false"
    )


def canary_text(service: InferenceService, record: RolloutRecord | None, verdict: GateVerdict | None) -> str:
    """Of the step under way; empty where there is none. It changes with decisions, not with every request."""
    step = canary_step(service, record) if record is not None else None
    if record is None or step is None:
        return ""
    steps = service.rollout.canary.steps
    number = f"step {steps.index(step) + 1} of {len(steps)}"
    verb = "go" if record.step_started_at else "will go"
    share = f"{step.weight_percent} % of the requests {verb} to revision {record.revision}"
    waits = "its replicas start" if not record.step_started_at else verdict.summary if verdict else ""
    return f"{number}: {share}" + (f"; {waits}" if waits else "")
