"""A client that leaves frees what it held."""

import asyncio
import logging
from typing import Any

import aiohttp
import pytest
from fake_engine import FakeEngine
from waiting import until


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("num_choices", [1, 3])
async def test_leaving_aborts_every_choice(
    serving: Any, client_of: Any, says: Any, stream: bool, num_choices: int
) -> None:
    engine = FakeEngine(says("an answer that goes on and on"), seconds_per_token=0.02)
    async with serving(engine) as server:
        request = asyncio.create_task(
            client_of(server).completions.create(
                model="tiny", prompt="p", n=num_choices, stream=stream, max_tokens=200
            )
        )
        await until(lambda: len(engine.running) == num_choices)
        if stream:
            await (await request).close()
        else:
            request.cancel()
        await until(lambda: not engine.running)
        assert len(engine.aborted) == num_choices
        await until(lambda: server.lifecycle.num_open_requests == 0)
        assert 'finished_reason="abort",model_name="tiny"} ' + f"{num_choices}.0" in await metrics(server.url)


async def test_leaving_before_the_first_token_aborts(serving: Any, says: Any) -> None:
    engine = FakeEngine(says("x"))
    engine.gate.clear()
    body = b'{"model": "tiny", "prompt": "p", "stream": true}'
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with serving(engine) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head + body)
        await until(lambda: engine.running)
        writer.close()
        await until(lambda: engine.aborted)


async def test_leaving_in_the_middle_of_the_body_starts_nothing(
    serving: Any, says: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine(says("x"))
    caplog.set_level(logging.INFO, "octavo_engine")
    async with serving(engine) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        await until(lambda: server.lifecycle.num_open_requests == 1)
        writer.close()
        await until(lambda: server.lifecycle.num_open_requests == 0)
    assert engine.requests == []
    assert [record.fields["status"] for record in caplog.records] == [499]  # type: ignore[attr-defined]


async def metrics(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        return await response.text()
