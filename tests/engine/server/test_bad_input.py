"""Wrong and hostile requests: each gets an OpenAI-style error, and the next request works."""

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import openai
import pytest
from bad_requests import HELLO, PROMPT, refused
from fake_engine import FakeEngine
from http_server import SETTINGS, RunningServer
from waiting import until

from octavo_engine.server.limits import MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"prompt": []}, "prompt", "length >= 1"),
        ({"prompt": [[]]}, "prompt[0]", "length >= 1"),
        ({"prompt": ["a", 1]}, "prompt", "mix"),
        ({"prompt": ["a", [1]]}, "prompt", "mix"),
        ({"prompt": ["x"] * 129}, "prompt", "at most 128"),
        ({"prompt": {"a": 1}}, "prompt", "got `object`"),
        ({"prompt": [5000]}, "prompt", "token 5000 is outside the vocabulary"),
        ({"prompt": ""}, "prompt", "the prompt is empty"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only with stream=true"),
        ({"model": None}, "model", "got `null`"),
    ],
)
async def test_a_wrong_field_is_named(
    http: aiohttp.ClientSession, body: dict[str, Any], param: str, message: str
) -> None:
    status, error = await refused(http, "/v1/completions", PROMPT | body)
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"echo": True}, "echo"),
        ({"chat_template": "{{ x }}"}, "chat_template"),
    ],
)
async def test_a_field_that_is_not_supported_yet_is_refused_by_name(
    http: aiohttp.ClientSession, body: dict[str, Any], param: str
) -> None:
    status, error = await refused(http, "/v1/chat/completions", HELLO | body)
    assert (status, error["param"], error["code"]) == (400, param, "unsupported_parameter")
    assert "not supported" in error["message"]


@pytest.mark.parametrize("body", [{"best_of": 2}, {"suffix": "s"}])
async def test_completions_refuse_what_only_they_know(
    http: aiohttp.ClientSession, body: dict[str, Any]
) -> None:
    status, error = await refused(http, "/v1/completions", PROMPT | body)
    assert (status, error["code"]) == (400, "unsupported_parameter")


async def test_unsupported_fields_at_their_default_ask_for_nothing(http: aiohttp.ClientSession) -> None:
    defaults = {
        "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "presence_penalty": 0,
        "frequency_penalty": 0.0, "tools": [], "tool_choice": "none", "response_format": {"type": "text"},
        "best_of": 1, "store": False, "metadata": {"a": "b"},
    }  # fmt: skip
    async with http.post("/v1/chat/completions", json=HELLO | defaults) as response:
        assert response.status == 200
        assert "x-octavo-ignored-fields" not in response.headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"model": "tiny", "prompt": NaN}',
        b'{"model": "tiny", "prompt": "p", "temperature": NaN}',
        b'{"model": "tiny", "prompt": "p", "temperature": -Infinity}',
        b'{"model": "tiny", "prompt": "p", "temperature": 1e999}',
        b'{"model": "tiny", "prompt": "\\ud800"}',
        b'{"model": "tiny", "prompt": "\\udc00"}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"model": "tiny"}',
        b'{"prompt": "p"}',
        b'{"model": "tiny", "prompt": "p", "user": "' + b"x" * 100 + b'"',
    ],
)
async def test_a_malformed_body_is_a_400(http: aiohttp.ClientSession, body: bytes) -> None:
    status, error = await refused(http, "/v1/completions", body)
    assert (status, error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "Hello",
        [{"role": "wizard", "content": "x"}],
        [{"content": "x"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}],
    ],
)
async def test_messages_of_a_wrong_shape_are_a_400(http: aiohttp.ClientSession, messages: Any) -> None:
    status, error = await refused(http, "/v1/chat/completions", HELLO | {"messages": messages})
    assert (status, error["param"].startswith("messages")) == (400, True)


async def test_an_unknown_model_is_a_404_that_lists_the_known(server: RunningServer, client_of: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="this server has: tiny, tiny-alias") as caught:
        await client_of(server).completions.create(model="gpt-9", prompt="p")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        await client_of(server).models.retrieve("gpt-9")


@pytest.mark.parametrize(
    ("length", "max_tokens", "remedy"),
    [
        (64, None, "has 64 and max_tokens asks for 16 more: shorten the prompt"),
        (50, 20, "has 50 and max_tokens asks for 20 more: shorten the prompt or ask for at most 14 tokens"),
    ],
)
async def test_what_exceeds_the_context_is_refused_with_the_numbers(
    server: RunningServer, client_of: Any, length: int, max_tokens: int | None, remedy: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client_of(server).completions.create(
            model="tiny", prompt=[9] * length, **({"max_tokens": max_tokens} if max_tokens else {})
        )
    assert caught.value.code == "context_length_exceeded"
    assert f"context is 64 tokens; the prompt {remedy}" in caught.value.message


async def test_a_chat_without_room_for_an_answer_is_refused(server: RunningServer, client_of: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="context is 64 tokens") as caught:
        await client_of(server).chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "#" * 200}]
        )
    assert caught.value.code == "context_length_exceeded"


async def test_a_model_without_a_template_does_not_chat(serving: Any, client_of: Any, says: Any) -> None:
    async with serving(FakeEngine(says("x")), has_template=False) as server:
        with pytest.raises(openai.BadRequestError, match="no chat template; use /v1/completions"):
            await client_of(server).chat.completions.create(**HELLO)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_above_the_limit_is_a_413(http: aiohttp.ClientSession, is_chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 2**20 + 1):
            yield b" " * 2**20

    data = chunks() if is_chunked else io.BytesIO(b" " * (MAX_BODY_BYTES + 1))
    async with http.post("/v1/completions", data=data) as response:
        answer = await response.json()
    assert (response.status, "32 MiB" in answer["error"]["message"]) == (413, True)


async def test_a_body_that_is_announced_too_large_is_not_waited_for(server: RunningServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % (MAX_BODY_BYTES + 1))
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_wrong_routes_and_methods_are_json_too(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/nothing") as response:
        assert (response.status, "error" in await response.json()) == (404, True)
    async with http.get("/v1/chat/completions") as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
        assert (await response.json())["error"]["message"] == "/v1/chat/completions takes POST, not GET"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nhost: x\r\nbig: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nbig: " + b"x" * 1_000_000,
        b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 50_000,
        b"GET /" + b"x" * 1_000_000,
    ],
    ids=["complete", "endless-header", "endless-list", "endless-url"],
)
async def test_a_head_without_bounds_is_a_431(server: RunningServer, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(head), 50_000):
            writer.write(head[start : start + 50_000])
            await writer.drain()
            await asyncio.sleep(0.002)
    answer = await asyncio.wait_for(reader.read(2000), 5)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b'{"error":{' in answer
    writer.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_of_ours_tells_an_id_and_logs_the_rest(
    serving: Any, client_of: Any, says: Any, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    engine = FakeEngine(says("some words"), failure="block 7 is on fire")
    async with serving(engine) as server:
        with caplog.at_level(logging.ERROR), pytest.raises(openai.APIError) as caught:
            answer = await client_of(server).completions.create(
                model="tiny", prompt="my secret prompt", stream=stream
            )
            _ = [chunk async for chunk in answer]
    [record] = [record for record in caplog.records if record.message == "internal error"]
    fields = record.fields  # type: ignore[attr-defined]
    assert fields["detail"] == "block 7 is on fire"
    assert fields["error_id"] in caught.value.message
    assert "on fire" not in caught.value.message
    assert "secret" not in str(fields)


async def test_more_than_may_wait_is_a_503_with_retry_after(serving: Any, client_of: Any, says: Any) -> None:
    engine = FakeEngine(says("x"))
    engine.gate.clear()
    settings = replace(SETTINGS, max_running_requests=2, max_waiting_requests=1)
    async with serving(engine, settings) as server:
        client = client_of(server)
        first = asyncio.create_task(client.completions.create(model="tiny", prompt="p", n=2))
        await until(lambda: len(engine.running) == 2)
        with pytest.raises(openai.InternalServerError) as caught:
            await client.completions.create(model="tiny", prompt="p", n=2)
        assert (caught.value.status_code, caught.value.response.headers["retry-after"]) == (503, "1")
        with pytest.raises(openai.BadRequestError, match="4 sequences in one request; at most 3"):
            await client.completions.create(model="tiny", prompt="p", n=4)
        engine.gate.set()
        assert len((await first).choices) == 2
        assert len((await client.completions.create(model="tiny", prompt="p", n=2)).choices) == 2
