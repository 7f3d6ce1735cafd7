"""With a token the engine is the gateway's alone; without one nobody's headers count."""

import json
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fake_engine import FakeEngine
from gateway_stream import HEADERS, TOKEN
from http_server import SETTINGS

from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.server.gateway_trust import GatewayToken
from octavo_engine.server.settings import ServerSettings

PROMPT = {"model": "tiny", "prompt": "p"}
PATHS = ("/v1/completions", "/v1/chat/completions", "/v1/models", "/v1/models/tiny", "/v1/nothing")


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN + "\n")
    return tmp_path / "token"


@pytest.fixture
def settings(token_file: Path) -> ServerSettings:
    return replace(SETTINGS, gateway_token_file=token_file)


@pytest.fixture
def engine(says: Any) -> FakeEngine:
    return FakeEngine(says("fine"), exactness="ours")


@pytest.fixture
async def http(serving: Any, engine: FakeEngine, settings: ServerSettings) -> AsyncIterator[Any]:
    async with serving(engine, settings) as server, aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
async def test_whoever_lacks_the_token_is_turned_away(
    http: aiohttp.ClientSession, engine: FakeEngine, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    async with http.post(path, json=PROMPT, headers=headers) as response:
        answer = await response.json()
        assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")
        assert "x-octavo-exactness" not in response.headers
    assert (answer["error"]["code"], engine.requests) == ("gateway_token_required", [])
    assert TOKEN not in json.dumps(answer)


async def test_the_gateway_gets_answers_that_say_how_exact_they_are(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/completions", json=PROMPT, headers=HEADERS) as response:
        assert (await response.json())["choices"][0]["text"] == "fine"
        assert response.headers["x-octavo-exactness"] == "ours"
    for path, status in (("/v1/models", 200), ("/v1/nothing", 404)):
        async with http.get(path, headers=HEADERS) as response:
            assert (response.status, response.headers["x-octavo-exactness"]) == (status, "ours")


async def test_an_engine_that_loads_says_so_to_the_gateway_alone(
    serving: Any, settings: ServerSettings
) -> None:
    async with serving(None, settings) as server, aiohttp.ClientSession(server.url) as session:
        for headers, status in ((HEADERS, 503), ({}, 401)):
            async with session.get("/v1/models", headers=headers) as response:
                assert (response.status, "x-octavo-exactness" in response.headers) == (status, False)


async def test_probes_need_no_token(http: aiohttp.ClientSession) -> None:
    for path in ("/health", "/ready", "/metrics"):
        async with http.get(path) as response:
            assert response.status == 200
            assert "x-octavo-exactness" not in response.headers


async def test_tenants_and_their_salts_share_no_prefix(
    http: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    asked: list[tuple[str | None, str | None]] = [
        ("alice", None), ("bob", None), (None, None), ("alice", "bob"), ("alic", "e"), (None, "alice"),
        ("alice\\0", None), (None, "alice\0"),
    ]  # fmt: skip
    for tenant, salt in asked:
        headers = {name: value for name, value in HEADERS.items() if name != "x-octavo-tenant"}
        headers |= {} if tenant is None else {"x-octavo-tenant": tenant}
        body = PROMPT | ({} if salt is None else {"cache_salt": salt})
        for _ in range(2):
            async with http.post("/v1/completions", json=body, headers=headers) as response:
                assert response.status == 200
    salts = [request.cache_salt for request in engine.requests]
    assert salts[::2] == salts[1::2]
    assert len(set(salts)) == len(asked)


async def test_the_log_names_the_tenant(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "octavo_engine")
    async with http.post("/v1/completions", json=PROMPT, headers=HEADERS) as response:
        assert response.status == 200
    (record,) = caplog.records
    assert record.fields["tenant"] == "alice"  # type: ignore[attr-defined]
    assert record.fields["request_id"] == "req-1"  # type: ignore[attr-defined]


async def test_without_a_token_anybody_may_ask_and_no_header_counts(serving: Any, engine: FakeEngine) -> None:
    async with serving(engine) as server, aiohttp.ClientSession(server.url) as session:
        body = PROMPT | {"cache_salt": "own", "stream": True}
        async with session.post("/v1/completions", json=body, headers=HEADERS) as response:
            text = await response.text()
            assert (response.status, "x-octavo-exactness" in response.headers) == (200, False)
        assert ": octavo" not in text
        (request,) = engine.requests
        assert (request.cache_salt, request.sampling.seed) == ("own", None)
        choice = {"seed": 1, "token_ids": [], "num_chars": 0, "finished": False}
        resume = {"created": 1, "exactness": "ours", "choices": [choice]}
        async with session.post(
            "/v1/completions", json=body | {"octavo_resume": resume}, headers=HEADERS
        ) as response:
            error = (await response.json())["error"]
            assert (response.status, error["param"]) == (400, "octavo_resume")
            assert "gateway's alone" in error["message"]
    assert len(engine.requests) == 1


def test_a_renewed_token_counts_within_a_second(token_file: Path) -> None:
    now = 0.0
    token = GatewayToken(token_file, now=lambda: now)
    assert token.matches(TOKEN.encode())
    renewed = token_file.with_name("renewed")
    renewed.write_text("renewed")
    os.utime(renewed, ns=(0, token_file.stat().st_mtime_ns + 1))
    renewed.replace(token_file)
    now = 0.9
    assert token.matches(TOKEN.encode())
    now = 1.0
    assert token.matches(b"renewed")
    assert not token.matches(TOKEN.encode())


@pytest.mark.parametrize("left", [None, b"", b" \n"])
def test_a_token_that_is_lost_counts_on(token_file: Path, left: bytes | None) -> None:
    now = 0.0
    token = GatewayToken(token_file, now=lambda: now)
    if left is None:
        token_file.unlink()
    else:
        token_file.write_bytes(left)
        os.utime(token_file, ns=(0, 1))
    now = 2.0
    assert token.matches(TOKEN.encode())
    assert not token.matches(b"")


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"\n", "the file is empty")])
def test_without_a_token_in_its_file_the_engine_does_not_start(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidEngineConfig, match=f"--gateway-token-file .*{words}"):
        GatewayToken(file)
