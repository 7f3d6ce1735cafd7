"""One visit to one InferenceService: look, decide, act, tell. The same for a new object and for a resync."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from octavo_api.api_server import ApiError
from octavo_api.service_status import ServiceStatus
from octavo_operator.attempts import REFUSED_AGAIN_SECONDS, Outcome
from octavo_operator.events import Event
from octavo_operator.observed import ObjectKey, Observed
from octavo_operator.plan import Plan, plan
from octavo_operator.rollout_record import RolloutEnd, rollout_end
from octavo_operator.status import status_of
from octavo_operator.work_queue import RetryLater


class ClusterAccess(Protocol):
    async def observe(self, key: ObjectKey, now: datetime, *, fresh: bool = False) -> Observed: ...

    async def execute(self, observed: Observed, todo: Plan) -> Outcome: ...

    async def apply_status(self, observed: Observed, status: ServiceStatus) -> None: ...

    async def tell(self, observed: Observed, events: Sequence[Event]) -> None: ...


async def reconcile(
    key: ObjectKey,
    cluster: ClusterAccess,
    now: datetime,
    resync_seconds: float,
    note: Callable[[RolloutEnd], None] = lambda _: None,
) -> float | None:
    """Seconds until the next visit; None when there is no such service. Raises RetryLater.

    `note` is told of each rollout that ends, once that is written.
    """
    try:
        return await _reconcile(key, cluster, now, resync_seconds, note)
    except ApiError as error:
        raise RetryLater(str(error), error.retry_after) from error


async def _reconcile(
    key: ObjectKey,
    cluster: ClusterAccess,
    now: datetime,
    resync_seconds: float,
    note: Callable[[RolloutEnd], None],
) -> float | None:
    observed = await cluster.observe(key, now)
    if not observed.exists or observed.deleting:
        return None
    todo = plan(observed, now)
    if todo.takes_away:
        # The caches may be late, and what is gone stays so: decide again on what is there now.
        observed = await cluster.observe(key, now, fresh=True)
        todo = plan(observed, now)
    outcome = await cluster.execute(observed, todo)
    await cluster.apply_status(observed, status_of(observed, todo, outcome.refusals, now))
    await cluster.tell(observed, todo.news)
    if (end := rollout_end(observed.status.rollout, todo.record)) is not None:
        note(end)
    if outcome.retry is not None:
        raise outcome.retry
    waits = [resync_seconds * random.uniform(0.9, 1.1)]  # noqa: S311
    if todo.requeue_after is not None:
        waits = [todo.requeue_after.total_seconds()]
    if outcome.may_be_allowed:
        waits.append(REFUSED_AGAIN_SECONDS)
    return min(waits)
