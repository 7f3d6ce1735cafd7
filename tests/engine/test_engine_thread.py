import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from core_harness import make_core, request, tokens_of
from fake_executor import generate_alone

from octavo_engine.core.batch import Batch
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.engine_thread import EngineThread
from octavo_engine.messages import AddRequest, TokensReady


@asynccontextmanager
async def running(core: EngineCore) -> AsyncIterator[EngineThread]:
    engine = EngineThread(core)
    try:
        yield engine
    finally:
        engine.shutdown()


async def collect(engine: EngineThread, message: AddRequest) -> list[TokensReady]:
    return [answer async for answer in engine.generate(message)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  the condition belongs to another thread
            await asyncio.sleep(0.001)


async def test_many_clients_at_once_get_the_tokens_they_get_alone() -> None:
    prompts = [(index, 2, 3) for index in range(20)]
    async with running(make_core()) as engine:
        answers = await asyncio.gather(
            *(collect(engine, request(str(prompt[0]), prompt, max_tokens=8)) for prompt in prompts)
        )
    assert [tokens_of(answer) for answer in answers] == [generate_alone(prompt, 8) for prompt in prompts]


async def test_closing_the_iterator_aborts_the_request() -> None:
    core = make_core(num_blocks=4096)
    async with running(core) as engine:
        async with aclosing(engine.generate(request("a", (1, 2), max_tokens=10_000))) as stream:
            await anext(stream)
            assert engine.stats().num_running == 1
        await until(lambda: not core.has_work())
        assert engine.stats().num_used_blocks == 0
        assert engine.stats().generation_tokens < 10_000


async def test_an_idle_engine_has_no_progress_to_make_and_takes_work_again() -> None:
    async with running(make_core()) as engine:
        for name in "ab":
            answer = await collect(engine, request(name, (1, 2)))
            assert tokens_of(answer) == generate_alone((1, 2), 4)
            await until(lambda: engine.seconds_without_progress() == 0.0)


async def test_a_refused_request_says_why_and_ends_alone() -> None:
    async with running(make_core()) as engine:
        (refusal,) = await collect(engine, request("a", ()))
        assert (refusal.finish_reason, refusal.error) == ("error", "the prompt has no tokens")
        assert len(await collect(engine, request("b", (1,)))) == 4


async def test_a_request_id_in_use_is_refused_without_harm_to_its_owner() -> None:
    async with (
        running(make_core(num_blocks=1024)) as engine,
        aclosing(engine.generate(request("a", (1, 2), max_tokens=2000))) as stream,
    ):
        await anext(stream)
        (refusal,) = await collect(engine, request("a", (1, 2)))
        assert refusal.error == "request id a is in use"
        await anext(stream)


async def test_a_failed_step_ends_its_request_and_the_engine_goes_on() -> None:
    core = make_core(fails=lambda batch: 66 in batch.input_id_T)
    async with running(core) as engine:
        (failed,) = await collect(engine, request("bad", (66,)))
        assert failed.finish_reason == "error"
        assert len(await collect(engine, request("good", (1,)))) == 4
        assert engine.failed is None


async def test_a_dead_engine_leaves_nobody_waiting_and_says_so() -> None:
    async with running(make_core(fails=lambda batch: True, max_num_seqs=1)) as engine:
        answers = await asyncio.gather(*(collect(engine, request(str(i), (1,))) for i in range(5)))
        assert [[message.finish_reason for message in answer] for answer in answers] == [["error"]] * 5
        assert "RuntimeError" in (engine.failed or "")
        assert engine.seconds_without_progress() == math.inf
        (late,) = await collect(engine, request("late", (1,)))
        assert late.error == engine.failed


async def test_shutdown_ends_open_requests_with_abort() -> None:
    engine = EngineThread(make_core(num_blocks=4096))
    stream = engine.generate(request("a", (1, 2), max_tokens=10_000))
    await anext(stream)
    engine.shutdown()
    async with asyncio.timeout(5):
        last = [message async for message in stream][-1]
    assert last.finish_reason == "abort"
    (late,) = await collect(engine, request("late", (1, 2)))
    assert late.finish_reason == "abort"


async def test_a_step_that_hangs_shows_as_missing_progress() -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(batch: Batch) -> bool:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return False

    async with running(make_core(fails=hang)) as engine:
        answer = asyncio.create_task(collect(engine, request("a", (1,), max_tokens=1)))
        await until(lambda: engine.seconds_without_progress() > 0.05)
        release.set()
        await answer
        await until(lambda: engine.seconds_without_progress() == 0.0)


@pytest.mark.parametrize("num_requests", [50])
async def test_one_call_into_the_loop_carries_a_whole_step(
    num_requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    loop = asyncio.get_running_loop()
    original = loop.call_soon_threadsafe

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        return original(*args, **kwargs)  # type: ignore[arg-type]

    core = make_core(num_blocks=1024, max_num_seqs=64, max_num_batched_tokens=64)
    async with running(core) as engine:
        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        await asyncio.gather(
            *(collect(engine, request(str(i), (1,), max_tokens=20)) for i in range(num_requests))
        )
        monkeypatch.undo()
        assert calls <= core.num_steps + 2
