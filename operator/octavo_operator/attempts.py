"""Writes to the API server, and which of their failures the user is told of."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from octavo_api.api_server import ApiError
from octavo_api.names import Reason
from octavo_operator.observed import Refusal
from octavo_operator.work_queue import RetryLater

# Conflicts, throttling, no answer: to be tried again and of no interest to the user.
PASSING = frozenset({0, 404, 409, 429})
# Nobody tells us when a role or a quota has changed.
REFUSED_AGAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    refusals: tuple[Refusal, ...] = ()
    retry: RetryLater | None = None

    @property
    def may_be_allowed(self) -> bool:
        """Whether what was refused may be allowed at any time: a right is given, a quota is raised."""
        return any(not refusal.terminal for refusal in self.refusals)


class Refused(Exception):
    """We do not write it ourselves; a person has to look."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Attempts:
    """Writes that do not depend on each other, and what became of them: every one is tried."""

    def __init__(self) -> None:
        self._refusals: list[Refusal] = []
        self._retry: RetryLater | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome(refusals=tuple(self._refusals), retry=self._retry)

    async def make(self, name: str, write: Coroutine[Any, Any, None]) -> None:
        try:
            await write
        except Refused as error:
            refusal = Refusal(child=name, reason=error.reason, message=str(error), terminal=True)
            self._refusals.append(refusal)
        except RetryLater as error:
            self._retry = error
        except ApiError as error:
            if error.status in PASSING or error.status >= 500:
                self._retry = RetryLater(f"{name}: {error}", error.retry_after)
            if error.status not in PASSING:
                self._refusals.append(_refusal(name, error))


def _refusal(child: str, error: ApiError) -> Refusal:
    reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in error.message else Reason.ADMISSION_REFUSED
    if error.status == 422 and "immutable" in error.message:
        reason = Reason.IMMUTABLE_CHILD_CONFLICT
    remedy = "change spec as the message says" if error.status in (400, 422) else "ask who runs the cluster"
    message = f"the API server refuses it ({error.status}): {error.message}; {remedy}"
    return Refusal(child=child, reason=reason, message=message, terminal=error.status in (400, 422))
