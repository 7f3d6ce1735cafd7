"""Bytes that no decent client sends: one answer each, no second request, and others are unharmed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from gateway_parts import RunningGateway, running_gateway
from mock_engine import MockEngine
from waiting import until

from octavo_gateway import http_server

BODY = b'{"model":"tiny","prompt":"hi"}'
GOOD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_LINGER_SECONDS", 0.05)


@contextlib.asynccontextmanager
async def gateway_and_engine() -> AsyncIterator[tuple[RunningGateway, MockEngine]]:
    engine = MockEngine()
    async with engine.running(), running_gateway(engine) as gateway:
        yield gateway, engine


async def said_to(gateway: RunningGateway, data: bytes, *, until_end: bool = True) -> bytes:
    """All that the gateway answers until it closes the connection, or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(3.0 if until_end else 0.3):
            while part := await reader.read(65536):
                answer += part
    writer.close()
    return answer


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"POST /v1/completions HTTP/1.1", b"host: x", *lines, b"", b""])


LENGTH = b"content-length: %d" % len(BODY)
CHUNKED_BODY = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLING = {
    "length and chunked": head(b"content-length: 4", b"transfer-encoding: chunked") + CHUNKED_BODY,
    "chunked and length": head(b"transfer-encoding: chunked", b"content-length: 4") + CHUNKED_BODY,
    "two lengths": head(LENGTH, b"content-length: 4") + BODY,
    "two equal lengths": head(LENGTH, LENGTH) + BODY,
    "a list of lengths": head(LENGTH + b", 4") + BODY,
    "a signed length": head(b"content-length: +%d" % len(BODY)) + BODY,
    "a negative length": head(b"content-length: -1") + BODY,
    "a hexadecimal length": head(b"content-length: 0x1e") + BODY,
    "an endless length": head(b"content-length: 99999999999999999999999") + BODY,
    "a folded header": head(LENGTH, b"x-a: 1\r\n transfer-encoding: chunked") + BODY,
    "a folded length": head(b"content-length:\r\n 30") + BODY,
    "a blank before the colon": head(b"content-length : 4", LENGTH) + BODY,
    "chunked twice": head(b"transfer-encoding: chunked", b"transfer-encoding: chunked, x") + CHUNKED_BODY,
    "chunked in disguise": head(b"transfer-encoding: xchunked") + CHUNKED_BODY,
    "a bare line feed": GOOD.replace(b"host: x\r\n", b"host: x\n"),
    "a bare line feed in the end": head(LENGTH)[:-4] + b"\n\n" + BODY,
    "a bare carriage return": head(b"x-a: 1\rtransfer-encoding: chunked", LENGTH) + BODY,
    "a null byte": head(b"x-a: 1\x00", LENGTH) + BODY,
    "a bad chunk size": head(b"transfer-encoding: chunked") + b"1e;\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative chunk": head(b"transfer-encoding: chunked") + b"-1e\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk without its end": head(b"transfer-encoding: chunked") + b"1e\r\n" + BODY + b"XX0\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another version": GOOD.replace(b"HTTP/1.1", b"HTTP/9.9"),
    "a long word": b"X" * 5000,
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_an_ambiguous_request_gets_one_refusal_and_hides_no_second_request(name: str) -> None:
    async with gateway_and_engine() as (gateway, engine):
        answer = await said_to(gateway, SMUGGLING[name] + SMUGGLED)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")), answer[:200]
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b'{"error":{"message":' in answer
        assert engine.received == []
        async with gateway.post({}) as response:
            assert response.status == 200


async def test_a_smuggled_trailer_or_extra_body_is_not_passed_on() -> None:
    trailers = head(b"transfer-encoding: chunked") + CHUNKED_BODY[:-2] + b"x-octavo-tenant: eve\r\n\r\n"
    async with gateway_and_engine() as (gateway, engine):
        await said_to(gateway, trailers, until_end=False)
    for received in engine.received:
        assert (received.raw, "x-octavo-tenant" in received.headers) == (BODY, False)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with gateway_and_engine() as (gateway, engine):
        answer = await said_to(gateway, GOOD * 5 + SMUGGLED, until_end=False)
    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200"] * 5 + [b"404"]
    assert len(engine.received) == 5


async def test_garbage_behind_a_request_does_not_land_inside_its_answer() -> None:
    async with gateway_and_engine() as (gateway, engine):
        engine.pace_seconds = 0.1
        assert (await said_to(gateway, GOOD + b"\x00garbage\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        streaming = BODY[:-1] + b',"stream":true}'
        writer.write(head(b"content-length: %d" % len(streaming)) + streaming)
        await reader.readuntil(b"data: ")
        writer.write(b"\x00garbage\r\n\r\n")
        assert b"HTTP/1.1 " not in await reader.read()
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b"host: x", b"host: x\r\nx-long: " + b"a" * 70_000),
        GOOD.replace(b"host: x", b"host: x" + b"\r\nx-many: 1234567890" * 5_000),
        GOOD.replace(b"host: x", b"host: x" + b"\r\nx-a: 1" * 20_000),
        b"POST /" + b"a" * 200_000,
        b"POST / HTTP/1.1\r\nx-endless: " + b"a" * 2_000_000,
        head(b"transfer-encoding: chunked") + CHUNKED_BODY[:-2] + b"x-endless: " + b"a" * 2_000_000,
        head(b"transfer-encoding: chunked") + CHUNKED_BODY[:-2] + b"x-many: 1234567890\r\n" * 100_000,
    ],
)
async def test_huge_headers_are_refused(data: bytes) -> None:
    async with gateway_and_engine() as (gateway, engine):
        answer = await said_to(gateway, data, until_end=False)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"error"' in answer
    assert engine.received == []


async def test_a_connection_that_never_finishes_its_head_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_HEAD_SECONDS", 0.1)
    async with gateway_and_engine() as (gateway, _):
        for data in (b"", b"POST /v1/comp", head()[:-2]):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(data)
            async with asyncio.timeout(2):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()


async def test_a_slow_head_on_a_kept_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_HEAD_SECONDS", 0.2)
    async with gateway_and_engine() as (gateway, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(GOOD)
        await reader.readuntil(b"}")
        await asyncio.sleep(0.4)
        writer.write(GOOD[:20])
        async with asyncio.timeout(2):
            with contextlib.suppress(ConnectionError):
                assert b"HTTP/1.1" not in await reader.read()
        writer.close()


async def test_many_idle_connections_harm_nobody() -> None:
    async with gateway_and_engine() as (gateway, _):
        opened = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(300)]
        async with gateway.post({}) as response:
            assert response.status == 200
        for _, writer in opened:
            writer.close()


async def test_connections_that_are_let_go_bring_no_further_request() -> None:
    async with gateway_and_engine() as (gateway, engine):
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        idle_writer.write(GOOD)
        await idle.readuntil(b"}")
        engine.pace_seconds = 0.1
        busy, busy_writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        busy_writer.write(GOOD)
        await until(lambda: len(engine.received) == 2)
        gateway.server.let_go()
        async with asyncio.timeout(2):
            assert b"HTTP/1.1" not in await idle.read()
            assert (await busy.read()).startswith(b"HTTP/1.1 200 ")
        for writer in (idle_writer, busy_writer):
            writer.close()
