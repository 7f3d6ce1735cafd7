import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from cluster.relay import REFUSED, SUCCESS, dial_socks_target, relay

GREETING = b"\x05\x01\x00"


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(request: bytes, then: bytes = b"") -> bytes:
    """Everything that the relay answers to a SOCKS request, and to what follows it."""
    server = await asyncio.start_server(partial(relay, dial_socks_target), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(GREETING + request + then)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"\x05\x00")
    return answer[2:]


async def test_an_address_is_reached_and_the_end_of_each_direction_is_passed_on(echo_port: int) -> None:
    target = b"\x05\x01\x00\x01" + bytes([127, 0, 0, 1]) + echo_port.to_bytes(2)
    assert await ask(target, b"hello") == SUCCESS + b"HELLO"


async def test_a_name_is_resolved_inside(echo_port: int) -> None:
    target = b"\x05\x01\x00\x03" + bytes([9]) + b"localhost" + echo_port.to_bytes(2)
    assert await ask(target, b"hello") == SUCCESS + b"HELLO"


async def test_a_closed_port_is_answered_with_connection_refused() -> None:
    assert await ask(b"\x05\x01\x00\x01" + bytes([127, 0, 0, 1]) + (1).to_bytes(2)) == REFUSED
