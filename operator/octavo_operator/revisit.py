"""When to look again, where nothing but time will tell. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.drain import Draining
from octavo_operator.observed import Observed
from octavo_operator.rollout_record import deadlines, proved_at, shortage_due
from octavo_operator.rollout_view import canary_step

# Nothing in the cluster tells us that a repository, a token or a network has been repaired.
ASK_AGAIN = timedelta(seconds=30)

# How often the gateways are asked while a pod drains.
DRAIN_POLL = timedelta(seconds=0.5)

# How often they are asked for a canary's figures.
GATE_POLL = timedelta(seconds=2)


def until_drained(leaving: Sequence[Draining]) -> timedelta | None:
    """None when nothing leaves."""
    if any(item.released for item in leaving if not item.is_marked):
        # Replicas are lowered by the marks that were seen, and our own writes wake nobody.
        return timedelta(0)
    return DRAIN_POLL if any(not item.released for item in leaving) else None


def until_rollout_moves(
    record: RolloutRecord, observed: Observed, service: InferenceService, now: datetime
) -> list[timedelta]:
    settling = timedelta(seconds=service.rollout.min_ready_seconds)
    dates = [pod.ready_since + settling for pod in observed.pods if pod.ready_since is not None]
    if record.strategy == "Surge" and (due := shortage_due(observed, record)) is not None:
        dates.append(due)
    dates += [*deadlines(observed, service, record), *proved_at(observed, record)]
    waits = [date - now for date in dates if date > now]
    return [*waits, GATE_POLL] if canary_step(service, record) is not None else waits
