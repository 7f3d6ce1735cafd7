"""Shared by the server's tests: a byte-level codec, and a client of whatever server a test starts."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import openai
import pytest
from bad_requests import PROMPT
from fake_engine import FakeEngine, Script
from http_server import SETTINGS, RunningServer, running_server, served_model
from text_fixtures import byte_level_tokenizer

from octavo_engine.server.settings import ServerSettings
from octavo_engine.server.text_codec import TextCodec


@pytest.fixture(scope="session")
def codec() -> TextCodec:
    return TextCodec(byte_level_tokenizer())


@pytest.fixture
def says(codec: TextCodec) -> Callable[[str], Script]:
    """The script of an engine that answers every prompt with this text."""
    return lambda text: lambda request: codec.encode(text, add_special_tokens=False)


@pytest.fixture
def serving(codec: TextCodec) -> Callable[..., contextlib.AbstractAsyncContextManager[RunningServer]]:
    """`async with serving(engine) as server`; without an engine the server stays loading."""

    @contextlib.asynccontextmanager
    async def start(
        engine: FakeEngine | None = None,
        settings: ServerSettings = SETTINGS,
        has_template: bool = True,
    ) -> AsyncIterator[RunningServer]:
        model = None if engine is None else served_model(engine, codec, has_template=has_template)
        async with running_server(settings, model) as server:
            yield server

    return start


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[[RunningServer], openai.AsyncOpenAI]]:
    async with contextlib.AsyncExitStack() as clients:
        made: dict[str, openai.AsyncOpenAI] = {}

        def client(server: RunningServer) -> openai.AsyncOpenAI:
            if server.url not in made:
                made[server.url] = openai.AsyncOpenAI(
                    base_url=f"{server.url}/v1", api_key="none", max_retries=0
                )
                clients.push_async_callback(made[server.url].close)
            return made[server.url]

        yield client


@pytest.fixture
async def server(serving: Any, says: Any) -> AsyncIterator[RunningServer]:
    """Says "fine" to every prompt; its context is 64 tokens."""
    async with serving(FakeEngine(says("fine"), max_model_len=64)) as running:
        yield running


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    """What is sent through it harms no later request."""
    async with aiohttp.ClientSession(server.url) as session:
        yield session
        async with session.post("/v1/completions", json=PROMPT) as response:
            assert (await response.json())["choices"][0]["text"] == "fine"
