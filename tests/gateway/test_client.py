"""Clients that send too much, take too little, or leave."""

import asyncio
import contextlib
import io
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_parts import RunningGateway, running_gateway
from mock_engine import Fault, MockEngine
from waiting import until

from octavo_gateway import client, http_server
from octavo_gateway.errors import Unavailable


@contextlib.asynccontextmanager
async def gateway_and_engine(engine: MockEngine, **options: Any) -> AsyncIterator[RunningGateway]:
    async with engine.running(), running_gateway(engine, **options) as gateway:
        yield gateway


def raw_request(body: dict[str, Any]) -> bytes:
    data = json.dumps({"model": "tiny", "prompt": "hi", **body}).encode()
    return b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data)


async def connect(gateway: RunningGateway, body: dict[str, Any]) -> socket.socket:
    """A client that has sent its request and reads nothing by itself."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", gateway.port))
    await loop.sock_sendall(sock, raw_request(body))
    return sock


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_over_the_limit_is_refused(is_announced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_BODY_BYTES", 100_000)
    body = json.dumps({"model": "tiny", "prompt": "x" * 100_000}).encode()

    async def parts() -> AsyncIterator[bytes]:
        yield body[:60_000]
        yield body[60_000:]

    engine = MockEngine()
    async with gateway_and_engine(engine) as gateway:
        data = body if is_announced else parts()
        async with gateway.session.post(gateway.url + "/v1/completions", data=data) as response:
            assert response.status == 413
            assert (await response.json())["error"]["type"] == "invalid_request_error"
        async with gateway.post({}) as response:
            assert response.status == 200
    assert len(engine.received) == 1


async def test_a_large_body_within_the_limit_passes_byte_for_byte() -> None:
    body = json.dumps({"model": "tiny", "prompt": "x" * 8_000_000}).encode()
    engine = MockEngine()
    async with gateway_and_engine(engine) as gateway:
        url = gateway.url + "/v1/completions"
        async with gateway.session.post(url, data=io.BytesIO(body)) as response:
            assert response.status == 200
    assert engine.received[0].raw == body


async def test_bodies_that_together_exceed_the_memory_for_them_are_turned_away_for_now() -> None:
    engine = MockEngine(pace_seconds=0.3)
    async with gateway_and_engine(engine, max_body_memory_bytes=150_000) as gateway:

        async def status(_: int) -> int:
            async with gateway.post({"prompt": "x" * 60_000}) as response:
                return int(response.status)

        assert sorted(await asyncio.gather(*map(status, range(4)))) == [200, 200, 503, 503]
        assert await status(0) == 200


def test_huge_bodies_leave_room_for_small_ones() -> None:
    memory = client.BodyMemory(40_000_000)
    with memory.hold() as take, memory.hold() as take_another:
        take(30_000_000)
        take_another(1_000_000)
        with pytest.raises(Unavailable):
            take_another(1_000_000)
    with memory.hold() as take:
        take(30_000_000)


async def test_a_body_that_drips_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_BODY_SECONDS", 0.2)
    async with gateway_and_engine(MockEngine()) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(raw_request({"prompt": "x" * 1000})[:-500])
        answering = asyncio.create_task(reader.readline())
        while not answering.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert (await answering).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_body_that_stops_coming_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_BODY_SILENCE_SECONDS", 0.1)
    async with gateway_and_engine(MockEngine()) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(raw_request({})[:-5])
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_client_that_leaves_closes_its_stream_upstream_at_once() -> None:
    engine = MockEngine(num_tokens=10_000, pace_seconds=0.01)
    async with gateway_and_engine(engine) as gateway:
        sock = await connect(gateway, {"stream": True})
        await until(lambda: engine.num_events_written > 3)
        sock.close()
        await until(lambda: engine.num_open == 0, seconds=1.0)
        await until(lambda: gateway.recorder.statuses == [499])
        assert gateway.admission.num_left == 1
        assert gateway.admission.load.in_flight("uid-pod-0") == 0
        [(_, prompt_tokens, completion_tokens)] = gateway.recorder.used
        assert prompt_tokens == 5
        assert 3 <= completion_tokens < 1000


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_leaves_before_the_first_byte_frees_its_replica(is_stream: bool) -> None:
    engine = MockEngine(faults=[Fault(kind="silent")])
    async with gateway_and_engine(engine) as gateway:
        sock = await connect(gateway, {"stream": is_stream, "prompt": "x" * 38})
        await until(lambda: engine.num_open)
        sock.close()
        await until(lambda: engine.num_open == 0, seconds=1.0)
        assert gateway.recorder.statuses == [499]
        assert gateway.admission.settled == [(10, 0)]


async def test_a_client_that_leaves_the_queue_is_forgotten() -> None:
    async with running_gateway() as gateway:
        sock = await connect(gateway, {})
        await until(lambda: gateway.admission.num_entered)
        sock.close()
        await until(lambda: gateway.admission.num_left, seconds=1.0)


async def test_an_engine_runs_no_further_ahead_of_a_slow_reader_than_buffers_allow() -> None:
    engine = MockEngine(num_tokens=40_000, pad_bytes=1000)
    async with gateway_and_engine(engine) as gateway:
        sock = await connect(gateway, {"stream": True})
        await until(lambda: engine.num_events_written > 100)
        last = -1
        while engine.num_events_written != last:
            last = engine.num_events_written
            await asyncio.sleep(0.2)
        assert last < 8_000  # of which the engine's own socket takes most
        async with gateway.post({"stream": True, "seed": 1}) as other:
            await other.content.readany()
        sock.close()


async def test_a_client_that_takes_nothing_is_cut_and_its_replica_freed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "STALLED_SECONDS", 0.2)
    engine = MockEngine(num_tokens=40_000, pad_bytes=1000)
    async with gateway_and_engine(engine) as gateway:
        sock = await connect(gateway, {"stream": True})
        await until(lambda: engine.num_events_written > 100)
        await until(lambda: engine.num_open == 0)
        await until(lambda: gateway.recorder.statuses == [499])
        sock.close()


async def test_a_client_that_takes_a_little_at_a_time_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "STALLED_SECONDS", 0.2)
    engine = MockEngine(num_tokens=600, pad_bytes=1000)
    async with gateway_and_engine(engine) as gateway:
        sock = await connect(gateway, {"stream": True})
        loop = asyncio.get_running_loop()
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            part = await loop.sock_recv(sock, 10_000)
            assert part, "cut"
            tail = (tail + part)[-64:]
            await asyncio.sleep(0.05)  # the kernel's buffer alone lasts for many windows
        assert b"[DONE]" in tail
        sock.close()
