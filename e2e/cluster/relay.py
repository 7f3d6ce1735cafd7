"""From the host into the cluster's network: accepts on sockets made outside, connects from inside.

One goes to the API server; the other speaks SOCKS5, for Services and pods (names included).
"""

import argparse
import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from .addresses import API_PORT

Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Connected]]
SUCCESS = b"\x05\x00\x00\x01" + bytes(6)
REFUSED = b"\x05\x05\x00\x01" + bytes(6)


async def dial_api_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Connected:
    return await asyncio.open_connection("127.0.0.1", API_PORT)


async def dial_socks_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Connected:
    _, num_methods = await reader.readexactly(2)
    await reader.readexactly(num_methods)
    writer.write(b"\x05\x00")
    host, port = await read_target(reader)
    try:
        upstream = await asyncio.open_connection(host, port)
    except OSError:
        writer.write(REFUSED)
        raise
    writer.write(SUCCESS)
    return upstream


async def read_target(reader: asyncio.StreamReader) -> tuple[str, int]:
    _, _, _, kind = await reader.readexactly(4)
    if kind == 1:
        host = socket.inet_ntoa(await reader.readexactly(4))
    else:
        (length,) = await reader.readexactly(1)
        host = (await reader.readexactly(length)).decode()
    return host, int.from_bytes(await reader.readexactly(2))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def relay(dial: Dial, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    opened = [writer]
    # A peer that goes away in the middle is everyday life here; the other side sees its connection close.
    with suppress(OSError, asyncio.IncompleteReadError):
        upstream_reader, upstream_writer = await dial(reader, writer)
        opened.append(upstream_writer)
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))
    for each in opened:
        each.close()


async def serve(api_fd: int, socks_fd: int) -> None:
    for fd, dial in ((api_fd, dial_api_server), (socks_fd, dial_socks_target)):
        await asyncio.start_server(partial(relay, dial), sock=socket.socket(fileno=fd))
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--octavo-cluster", required=True)
    parser.add_argument("--api-fd", type=int, required=True)
    parser.add_argument("--socks-fd", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.api_fd, arguments.socks_fd))


if __name__ == "__main__":
    main()
