"""When another try is due, and when none is."""

import asyncio

import pytest
from gateway_parts import SERVICE, FakeRecorder, FakeTable, endpoint

from octavo_gateway.errors import Unavailable
from octavo_gateway.patience import Patience
from octavo_gateway.retry_budget import RetryBudget

ONE, TWO = endpoint("one", revision="rev1"), endpoint("two", revision="rev2")


def patience(*, seconds: float, revision: str | None = None) -> Patience:
    clock = asyncio.get_running_loop().time
    return Patience(
        SERVICE,
        deadline=clock() + seconds,
        table=FakeTable([SERVICE], [ONE, TWO]),
        budget=RetryBudget(clock()),
        recorder=FakeRecorder(),
        clock=clock,
        revision=revision,
    )


async def test_a_replica_that_was_not_tried_is_asked_at_once() -> None:
    await patience(seconds=0.0).bear("connect", ONE)


async def test_replicas_of_other_revisions_are_no_other_try_for_a_stream_that_goes_on() -> None:
    with pytest.raises(Unavailable):
        await patience(seconds=0.0, revision="rev1").bear("connect", ONE)
