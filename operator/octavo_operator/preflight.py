"""What the preflight of a revision says, and when there has to be one. Pure.

There is one before a revision gets its first pod while another has some, for then there is something to lose.
What its check finds ends it at once. One that cannot run is given up after a time, with the reason.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from octavo_api.names import EXIT_CODES, Reason
from octavo_operator.diagnosis import TERMINAL_EXIT_CODES, exit_finding, last_line, unstarted
from octavo_operator.engine_pod import Ended, EnginePod
from octavo_operator.observed import Observed
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.render.preflight import DEADLINE_MARGIN_SECONDS, RESOURCES

Outcome = Literal["unknown", "running", "passed", "failed"]

STUCK_AFTER = timedelta(seconds=300)
"""What keeps a pod with a node from starting (an image, a Secret) does not mend itself in this time.

A node that is missing may: an autoscaler has until the rollout's own deadline.
"""
POLL = timedelta(seconds=10)
"""How often to look at one that runs: time alone makes it fail, and time wakes nobody."""
VERDICT_PREFIX = "cannot be served: "


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightView:
    """`reason` is that of the check or its pod, and PREFLIGHT where nothing is wrong."""

    revision: str
    outcome: Outcome
    reason: Reason
    message: str

    @staticmethod
    def of(seen: PreflightSeen | None, now: datetime) -> "PreflightView":
        """Unknown while there is none, or it is going."""
        if seen is None or seen.deleting:
            revision = "" if seen is None else seen.revision
            return PreflightView(
                revision=revision, outcome="unknown", reason=Reason.PREFLIGHT, message="no preflight yet"
            )
        outcome, finding = _outcome(seen, now)
        return PreflightView(
            revision=seen.revision,
            outcome=outcome,
            reason=finding.reason,
            message=f"preflight of revision {seen.revision}: {finding.message}",
        )


def preflight_wanted(observed: Observed, update: str | None) -> bool:
    """Whether revision `update` has to pass one before its Deployment is made."""
    standing = [item for item in observed.deployments if not item.deleting]
    if update is None or any(item.revision == update for item in standing):
        return False
    is_paused = observed.service is not None and observed.service.rollout.paused
    return not is_paused and any(observed.has_pods(item) for item in standing)


def preflights_to_delete(observed: Observed, wanted: str | None) -> tuple[PreflightSeen, ...]:
    """All but that of the one revision which wants one."""
    return tuple(
        seen for seen in observed.preflights.values() if seen.revision != wanted and not seen.deleting
    )


@dataclass(frozen=True, slots=True)
class _Finding:
    reason: Reason
    message: str
    patience: timedelta | None = None
    """How long a try may stay like this; None: nothing is wrong, and only the deadline ends it."""


def _outcome(seen: PreflightSeen, now: datetime) -> tuple[Outcome, _Finding]:
    pods = sorted(map(EnginePod.from_manifest, seen.pods), key=lambda pod: pod.created, reverse=True)
    ends = [(pod, pod.ended) for pod in pods if pod.ended is not None]
    passed = next((end.message for _, end in ends if end.exit_code == 0), None)
    if passed is not None or _condition(seen, "Complete", "SuccessCriteriaMet") is not None:
        return "passed", _Finding(Reason.PREFLIGHT, passed or "passed")
    for pod, end in ends:
        if end.exit_code in TERMINAL_EXIT_CODES:
            return "failed", _of_end(pod, end, "")
    if (failed := _condition(seen, "Failed", "FailureTarget")) is not None:
        tries = f"given up after {len(ends)} {'try' if len(ends) == 1 else 'tries'}"
        return "failed", _of_end(*ends[0], tries) if ends else _of_failed_job(seen, failed)
    trying = next((pod for pod in pods if pod.is_live and pod.ended is None), None)
    finding = _of_waiting(seen, trying)
    if ends and (trying is None or finding.patience is None):
        # The next try does not hide why the last one failed.
        finding = _of_end(*ends[0], "it is tried again")
    return _in_time(seen, finding, None if trying is None else trying.created, now)


def _in_time(
    seen: PreflightSeen, finding: _Finding, since: datetime | None, now: datetime
) -> tuple[Outcome, _Finding]:
    """`since` is when the present try began; None: with the Job, or when that was made."""
    # One that is suspended, as by a queue of jobs, has no start, and the Job's own deadline does not run.
    text = (seen.job.get("status") or {}).get("startTime") or seen.job["metadata"]["creationTimestamp"]
    started = datetime.fromisoformat(text)
    deadline = _deadline(seen)
    if now - started >= deadline:
        return "failed", _given_up(finding, deadline)
    if finding.patience is None:
        return "running", finding
    if now - (since or started) >= finding.patience:
        return "failed", _given_up(finding, finding.patience)
    message = f"{finding.message}; it counts as failed after {_seconds(finding.patience)}"
    return "running", _Finding(finding.reason, message)


def _given_up(finding: _Finding, after: timedelta) -> _Finding:
    reason = Reason.PROGRESS_DEADLINE_EXCEEDED if finding.reason == Reason.PREFLIGHT else finding.reason
    return _Finding(reason, f"given up after {_seconds(after)}: {finding.message}")


def _deadline(seen: PreflightSeen) -> timedelta:
    """spec.rollout.progressDeadlineSeconds, as it was when the preflight was made."""
    return timedelta(seconds=seen.job["spec"]["activeDeadlineSeconds"] - DEADLINE_MARGIN_SECONDS)


def _of_end(pod: EnginePod, end: Ended, what_follows: str) -> _Finding:
    """Empty `what_follows`: nothing does until the user mends it."""
    if end.exit_code in EXIT_CODES:
        words = end.message.removeprefix(VERDICT_PREFIX)
        found = exit_finding("the check", end.exit_code, words, what_follows)
        return _Finding(found.reason, found.message)
    if end.reason == "OOMKilled":
        memory = RESOURCES["limits"]["memory"]
        message = f"the check was killed for using more than its own {memory} of memory"
    else:
        last_words = f": {last_line(end.message)}" if end.message else ""
        message = f"the check ended with exit code {end.exit_code}{last_words}"
    return _Finding(Reason.CRASH_LOOP, f"{message}; {what_follows}; see kubectl logs {pod.name}")


def _of_failed_job(seen: PreflightSeen, condition: dict[str, Any]) -> _Finding:
    """Its pods are gone, and what they would have said."""
    if condition.get("reason") == "DeadlineExceeded":
        message = f"no answer within {_seconds(_deadline(seen))}"
        return _Finding(Reason.PROGRESS_DEADLINE_EXCEEDED, message)
    return _Finding(Reason.PREFLIGHT_FAILED, f"Job {seen.name}: {condition.get('message', 'failed')}")


def _of_waiting(seen: PreflightSeen, pod: EnginePod | None) -> _Finding:
    if pod is None and (seen.job.get("spec") or {}).get("suspend"):
        message = f"Job {seen.name} is suspended; whoever suspended it, such as a job queue, must let it run"
        return _Finding(Reason.POD_NOT_STARTED, message, _deadline(seen))
    if pod is None:
        message = f"its pod is being made; should it be refused, kubectl describe job {seen.name} says why"
        return _Finding(Reason.POD_NOT_STARTED, message, STUCK_AFTER)
    if pod.running:
        return _Finding(Reason.PREFLIGHT, f"pod {pod.name} checks the model")
    found = unstarted(pod)
    if not found.failed:
        return _Finding(Reason.PREFLIGHT, found.message)
    patience = _deadline(seen) if found.reason == Reason.UNSCHEDULABLE else STUCK_AFTER
    return _Finding(found.reason, found.message, patience)


def _condition(seen: PreflightSeen, *types: str) -> dict[str, Any] | None:
    conditions = (seen.job.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] in types and item["status"] == "True"), None)


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():.0f} seconds"
