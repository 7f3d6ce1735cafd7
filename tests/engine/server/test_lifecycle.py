import asyncio

import pytest

from octavo_engine.server.errors import Unavailable
from octavo_engine.server.lifecycle import DrainReport, Lifecycle
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.settings import DrainSettings

MODEL = ServedModel(names=("m",), engine=None, codec=None, chat_template=None, created=0)  # type: ignore[arg-type]


def ready(propagation: float = 0.0, timeout: float = 5.0) -> Lifecycle:
    lifecycle = Lifecycle(DrainSettings(propagation_seconds=propagation, timeout_seconds=timeout))
    lifecycle.become_ready(MODEL)
    return lifecycle


def refusal(lifecycle: Lifecycle) -> str | None:
    with pytest.raises(Unavailable) as caught, lifecycle.admit():
        pass
    return caught.value.code


async def test_nobody_comes_in_while_loading() -> None:
    assert refusal(Lifecycle(DrainSettings())) == "model_loading"


async def test_a_drain_accepts_while_routers_learn_and_then_waits_for_open_requests() -> None:
    lifecycle = ready(propagation=0.05)
    with lifecycle.admit():
        draining = asyncio.create_task(lifecycle.drain())
        await asyncio.sleep(0.01)
        assert (lifecycle.phase, lifecycle.is_ready) == ("draining", False)
        with lifecycle.admit():
            assert lifecycle.num_open_requests == 2
        await asyncio.sleep(0.08)
        assert refusal(lifecycle) == "server_draining"
        assert not draining.done()
    assert await draining == DrainReport(num_unfinished=0)


async def test_a_drain_gives_up_on_requests_that_outlast_it() -> None:
    lifecycle = ready(timeout=0.02)
    with lifecycle.admit():
        assert await lifecycle.drain() == DrainReport(num_unfinished=1)


async def test_a_caller_that_leaves_does_not_stop_the_drain_and_the_next_one_joins_it() -> None:
    lifecycle = ready()
    with lifecycle.admit():
        first = asyncio.create_task(lifecycle.drain())
        await asyncio.sleep(0)
        first.cancel()
        second = asyncio.create_task(lifecycle.drain())
        await asyncio.sleep(0.01)
        assert lifecycle.phase == "closed"
        assert not second.done()
    assert (await second).num_unfinished == 0
    assert (await lifecycle.drain()).num_unfinished == 0


async def test_a_model_that_arrives_during_a_drain_does_not_open_the_door() -> None:
    lifecycle = Lifecycle(DrainSettings(propagation_seconds=60))
    await lifecycle.drain()  # nothing was ever served, so nothing is waited for
    lifecycle.become_ready(MODEL)
    assert lifecycle.phase == "closed"
