"""Keeps retries from multiplying the load of a service that is in trouble already."""

from octavo_gateway.errors import Unavailable

_SHARE_OF_REQUESTS = 0.2
_PER_SECOND = 3.0
_SPARE = 50.0
_BURST = 100.0  # a replica that dies takes about so many unanswered requests with it
_LONGEST_WAIT_SECONDS = 10.0


class RetryBudget:
    """A token bucket of one service: a fifth of its requests, and three a second, may be retried.

    An empty bucket delays a retry, for the client loses nothing by it, and refuses it when the delay is long.
    """

    def __init__(self, now: float) -> None:
        self._tokens = _BURST
        self._filled_at = now

    def request_came(self) -> None:
        self._tokens = min(_BURST, self._tokens + _SHARE_OF_REQUESTS)

    def take_spare(self, now: float) -> bool:
        """For what can do without: whether one was left beside those that dying replicas may need."""
        self._fill(now)
        is_spare = self._tokens > _SPARE
        self._tokens -= 1.0 if is_spare else 0.0
        return is_spare

    def take(self, now: float) -> float:
        """Seconds to wait before the retry, `now` being any monotonic clock. Raises Unavailable."""
        self._fill(now)
        wait = max(0.0, 1.0 - self._tokens) / _PER_SECOND
        if wait > _LONGEST_WAIT_SECONDS:
            raise Unavailable(
                "too many requests had to be retried; try again later",
                code="retry_budget_exhausted",
                retry_after=int(_LONGEST_WAIT_SECONDS),
            )
        self._tokens -= 1.0
        return wait

    def _fill(self, now: float) -> None:
        self._tokens = min(_BURST, self._tokens + (now - self._filled_at) * _PER_SECOND)
        self._filled_at = now
