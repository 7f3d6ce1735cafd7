"""How often and how long other replicas are tried for one request."""

import asyncio
from collections.abc import Callable
from typing import Final

from octavo_gateway.errors import ApiError, BadGateway, Unavailable
from octavo_gateway.retry_budget import RetryBudget
from octavo_gateway.routing import Endpoint, Recorder, Service, Table
from octavo_gateway.upstream import Reason

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

# Refused at the door: it cost the replica nothing, and waiting helps. Others may have cost it work.
_REFUSALS: Final = frozenset({"connect", "draining", "model_loading", "not_served"})
FAILURES: Final = frozenset({"connect", "reset", "failed"})
"""The replica's own; with any other word it turned the request away."""
_WORDS: Final[dict[Reason, str]] = {
    "connect": "did not take the connection",
    "reset": "broke the connection off",
    "failed": "failed",
    "draining": "is shutting down",
    "model_loading": "is loading the model",
    "overloaded": "is full",
    "token": "does not know the gateway's token",
    "not_served": "does not serve this model yet",
}


class Patience:
    """`avoid` grows with each setback. Refusals are borne until `deadline`, the rest `retries` times.

    `deadline` and the clock are the event loop's. With `revision` only its replicas can be asked.
    """

    def __init__(
        self,
        service: Service,
        *,
        deadline: float,
        table: Table,
        budget: RetryBudget,
        recorder: Recorder,
        clock: Callable[[], float],
        revision: str | None = None,
    ) -> None:
        self.avoid: set[Endpoint] = set()
        self._service = service
        self._deadline = deadline
        self._table = table
        self._budget = budget
        self._recorder = recorder
        self._clock = clock
        self._revision = revision
        self._num_retries = 0
        self._has_failed = False
        self._pause = _FIRST_PAUSE_SECONDS

    def may_keep_error(self, endpoint: Endpoint) -> bool:
        """Whether a replica's own error may be kept from the client, and another asked: once.

        What fails on two is the request's doing, or everybody's. `bear` has to follow where it may.
        """
        if self._has_failed or self._num_retries >= self._service.policy.retries:
            return False
        unfit = self.avoid | self._unfit(endpoint)
        has_other = any(each not in unfit for each in self._table.routable(self._service))
        return has_other and self._budget.take_spare(self._clock())

    async def bear(self, reason: Reason, endpoint: Endpoint) -> None:
        """Return when another try is due. Raises ApiError, for the client, when none is."""
        self.avoid.add(endpoint)
        pause = 0.0
        if reason == "failed":
            self._has_failed = True
            self._num_retries += 1
            self.avoid |= self._unfit(endpoint)
        elif reason not in _REFUSALS:
            if self._num_retries >= self._service.policy.retries:
                raise _given_up(self._service, reason)
            self._num_retries += 1
            pause = self._budget.take(self._clock())
        if not self._has_untried():
            # The next choice is one of them again.
            pause = max(pause, self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        if pause:
            if self._clock() + pause > self._deadline:
                raise _given_up(self._service, reason)
            await asyncio.sleep(pause)
        self._recorder.retried(self._service.name, endpoint.revision, reason)

    def _unfit(self, endpoint: Endpoint) -> set[Endpoint]:
        """Whom not to ask after that replica failed: its whole revision, unless most requests go there.

        A bad release would fail again; and what the main revision fails is shared out by weight as ever, or a
        canary would get all the requests that nobody can answer. Without weight a revision is given up.
        """
        weights = self._service.weights
        own = weights.get(endpoint.revision, 0)
        is_main = all(weight < own for name, weight in weights.items() if name != endpoint.revision)
        return {
            each
            for each in self._table.routable(self._service)
            if each == endpoint
            or (weights and not weights.get(each.revision))
            or (each.revision == endpoint.revision and not is_main)
        }

    def _has_untried(self) -> bool:
        replicas = self._table.routable(self._service)
        return any(each not in self.avoid for each in replicas if self._revision in (None, each.revision))


def _given_up(service: Service, reason: Reason) -> ApiError:
    last = f"no replica of {service.name} answered; the last one {_WORDS[reason]}"
    if reason in ("reset", "failed", "token"):
        return BadGateway(last, code="replica_failed")
    code = "server_overloaded" if reason == "overloaded" else "no_replica_answered"
    return Unavailable(last, code=code, retry_after=1 if reason == "overloaded" else 5)
