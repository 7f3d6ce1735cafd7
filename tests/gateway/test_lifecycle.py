"""A gateway that leaves: still accepting, then finishing, then gone."""

import asyncio

import pytest

from octavo_gateway.errors import Unavailable
from octavo_gateway.lifecycle import Lifecycle


async def test_it_accepts_while_others_hear_of_it_then_refuses_and_ends_when_idle() -> None:
    lifecycle = Lifecycle(propagation_seconds=0.05, timeout_seconds=5.0)
    assert not lifecycle.is_leaving
    drain = asyncio.create_task(lifecycle.drain())
    await asyncio.sleep(0.01)
    with lifecycle.admit():
        assert lifecycle.is_leaving
        await asyncio.sleep(0.06)
        with pytest.raises(Unavailable) as refusal, lifecycle.admit():
            raise AssertionError
        assert (refusal.value.code, refusal.value.headers) == ("gateway_draining", {"retry-after": "1"})
        assert not drain.done()
    assert await drain == 0


async def test_the_time_for_open_requests_ends() -> None:
    lifecycle = Lifecycle(propagation_seconds=0.0, timeout_seconds=0.01)
    with lifecycle.admit(), lifecycle.admit():
        assert await lifecycle.drain() == 2
