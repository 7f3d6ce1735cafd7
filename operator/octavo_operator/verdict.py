"""What one condition says."""

from dataclasses import dataclass

from octavo_api.names import Reason
from octavo_api.service_status import ConditionStatus

MESSAGE_LIMIT = 2048


@dataclass(frozen=True, slots=True)
class Verdict:
    status: ConditionStatus
    reason: Reason
    message: str
