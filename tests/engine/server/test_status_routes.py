"""What the cluster sees: health, readiness, metrics and drain."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import aiohttp
import openai
import pytest
from fake_engine import FakeEngine
from http_server import SETTINGS
from starlette.requests import Request
from waiting import until

from octavo_engine.server import status_routes
from octavo_engine.server.errors import Forbidden
from octavo_engine.server.lifecycle import Lifecycle
from octavo_engine.server.settings import DrainSettings

SCALING_GAUGES = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
)


async def get(url: str, path: str) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(url + path) as response:
        return response.status, await response.text(), {k.lower(): v for k, v in response.headers.items()}


async def test_a_loading_server_is_alive_not_ready_and_says_when_to_come_back(serving: Any) -> None:
    async with serving() as server:
        assert (await get(server.url, "/health"))[0] == 200
        status, body, headers = await get(server.url, "/ready")
        assert (status, body, headers["retry-after"]) == (503, '{"status":"loading"}', "5")
        for path in ("/v1/models", "/v1/anything"):
            status, body, headers = await get(server.url, path)
            assert (status, headers["retry-after"]) == (503, "5")
            assert '"code":"model_loading"' in body
        status, body, _ = await get(server.url, "/metrics")
        assert status == 200
        assert not any(name in body for name in SCALING_GAUGES)


async def test_an_engine_without_progress_is_not_alive(serving: Any, says: Any) -> None:
    engine = FakeEngine(says("x"))
    async with serving(engine) as server:
        assert (await get(server.url, "/health"))[0] == 200
        engine.stalled_seconds = 121.0
        status, body, _ = await get(server.url, "/health")
        assert (status, body) == (503, '{"status":"stuck","seconds_without_progress":121.0}')


async def test_metrics_have_vllms_names_old_and_new(serving: Any, client_of: Any, says: Any) -> None:
    async with serving(FakeEngine(says("some words"))) as server:
        await client_of(server).completions.create(model="tiny", prompt="p", n=2)
        _, page, headers = await get(server.url, "/metrics")
    assert headers["content-type"].startswith("text/plain; version=")
    labels = 'engine="0",model_name="tiny"'
    for line in (
        f"vllm:num_requests_running{{{labels}}} 0.0",
        f"vllm:num_requests_waiting{{{labels}}} 0.0",
        f"vllm:kv_cache_usage_perc{{{labels}}} 0.25",
        f"vllm:gpu_cache_usage_perc{{{labels}}} 0.25",
        f"vllm:prompt_tokens_total{{{labels}}} 2.0",
        f"vllm:generation_tokens_total{{{labels}}} 11.0",
        f"vllm:num_preemptions_total{{{labels}}} 3.0",
        f"vllm:prefix_cache_queries_total{{{labels}}} 40.0",
        f"vllm:prefix_cache_hits_total{{{labels}}} 20.0",
        'vllm:request_success_total{engine="0",finished_reason="stop",model_name="tiny"} 2.0',
        'vllm:cache_config_info{block_size="16",cache_dtype="float32",engine="0",model_name="tiny",'
        'num_gpu_blocks="100"} 1.0',
        f"vllm:time_to_first_token_seconds_count{{{labels}}} 2.0",
        f"vllm:e2e_request_latency_seconds_count{{{labels}}} 2.0",
        f"vllm:request_time_per_output_token_seconds_count{{{labels}}} 2.0",
        f"vllm:request_prompt_tokens_sum{{{labels}}} 2.0",
        f"vllm:request_params_max_tokens_sum{{{labels}}} 32.0",
        f"vllm:request_params_n_sum{{{labels}}} 2.0",
    ):
        assert line in page.splitlines()
    assert 'vllm:time_to_first_token_seconds_bucket{engine="0",le="2560.0",model_name="tiny"}' in page
    assert page.count("vllm:inter_token_latency_seconds_count") == 1
    assert page.count("vllm:time_per_output_token_seconds_count") == 1


async def test_a_drain_lets_streams_finish_and_turns_new_requests_away(
    serving: Any, client_of: Any, says: Any
) -> None:
    engine = FakeEngine(says("a b c d"))
    engine.gate.clear()
    settings = replace(SETTINGS, drain=DrainSettings(propagation_seconds=0.1, timeout_seconds=5))
    async with serving(engine, settings) as server, aiohttp.ClientSession() as session:
        client = client_of(server)
        first = await client.completions.create(model="tiny", prompt="first", stream=True)
        draining = asyncio.create_task(session.post(f"{server.url}/drain"))
        await until(lambda: server.lifecycle.phase == "draining")
        second = await client.completions.create(model="tiny", prompt="second", stream=True)
        assert second.response.headers["connection"] == "close"
        status, body, _ = await get(server.url, "/ready")
        assert (status, body) == (503, '{"status":"draining"}')
        await until(lambda: server.lifecycle.phase == "closed")
        with pytest.raises(openai.InternalServerError) as caught:
            await client.completions.create(model="tiny", prompt="late")
        headers = caught.value.response.headers
        assert caught.value.status_code == 503
        assert (headers["x-octavo-draining"], headers["retry-after"]) == ("true", "1")
        assert headers["connection"] == "close"
        _, page, _ = await get(server.url, "/metrics")
        assert not any(name in page for name in SCALING_GAUGES)
        assert not draining.done()
        engine.gate.set()
        for stream in (first, second):
            assert "".join([chunk.choices[0].text async for chunk in stream]) == "a b c d"
        async with await draining as response:
            assert await response.json() == {"drained": True, "unfinished_requests": 0}
    assert not engine.aborted


async def test_drain_answers_only_to_loopback_peers() -> None:
    scope = {"type": "http", "method": "POST", "path": "/drain", "headers": [], "client": ("10.0.0.7", 5)}
    lifecycle = Lifecycle(DrainSettings())
    with pytest.raises(Forbidden):
        await status_routes.drain(Request(scope), lifecycle)
    assert not lifecycle.is_draining


async def test_a_forwarded_header_does_not_make_a_peer_local(serving: Any, says: Any) -> None:
    """The server must see the socket's peer: X-Forwarded-For is anybody's to write."""
    async with serving(FakeEngine(says("x"))) as server, aiohttp.ClientSession() as session:
        headers = {"x-forwarded-for": "10.0.0.7"}
        async with session.post(f"{server.url}/drain", headers=headers) as response:
            assert response.status == 200


async def test_small_answers_do_not_wait_for_acknowledgements(serving: Any, says: Any) -> None:
    """With Nagle's algorithm on, each answer on a kept-alive connection takes 40 ms."""
    async with serving(FakeEngine(says("x"))) as server, aiohttp.ClientSession() as session:
        started = time.monotonic()
        for _ in range(20):
            async with session.get(f"{server.url}/health") as response:
                await response.read()
        assert time.monotonic() - started < 20 * 0.035
