"""Whether a revision is bad that has just replaced another: many a fault shows only after a while. Pure."""

from datetime import datetime, timedelta

from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.diagnosis import EXIT_CODES_OF_OTHERS, crash_loop
from octavo_operator.engine_pod import EnginePod
from octavo_operator.observed import Observed
from octavo_operator.timestamps import moment


def crash_on_probation(
    observed: Observed, service: InferenceService, record: RolloutRecord, now: datetime
) -> str | None:
    """What at least half of its pods do again and again; of a few it may be the node's doing.

    Probation lasts for progressDeadlineSeconds after the rollout's completion.
    """
    completed_at = moment(record.completed_at)
    if completed_at is None or record.revision != record.stable:
        return None
    if now - completed_at >= timedelta(seconds=service.rollout.progress_deadline_seconds):
        return None
    pods = [pod for pod in observed.pods if pod.revision == record.revision and pod.is_live]
    suspects = [pod for pod in pods if _has_ended_since(pod, completed_at)]
    crashes = [crash for pod in suspects if (crash := crash_loop([pod], record.revision)) is not None]
    return crashes[0] if crashes and 2 * len(crashes) >= len(pods) else None


def _has_ended_since(pod: EnginePod, completed_at: datetime) -> bool:
    if pod.ended is None or pod.ended.at is None:
        return False
    return pod.ended.at > completed_at and pod.ended.exit_code not in EXIT_CODES_OF_OTHERS
