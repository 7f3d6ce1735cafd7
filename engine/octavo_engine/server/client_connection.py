"""The client's side of a request: its body within bounds, its departure, and events sent to it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from octavo_engine.server.errors import BodyTooLarge, ClientDisconnected
from octavo_engine.server.limits import MAX_BODY_BYTES

T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    too_large = BodyTooLarge(f"the body exceeds {MAX_BODY_BYTES // 2**20} MiB; send a smaller request")
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


async def until_client_leaves(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; a client that leaves first cancels the work. The body must have been read."""
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnected
    finally:
        for future in (task, watcher):
            future.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events; what makes them is closed when the client leaves."""

    def __init__(self, events: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no", **headers})
        # A stream's length is unknown; Response has measured an empty body.
        del self.headers["content-length"]
        self.headers["content-type"] = "text/event-stream; charset=utf-8"
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await until_client_leaves(receive, self._send_events(send))
        except ClientDisconnected:
            scope["state"]["client_left"] = True

    async def _send_events(self, send: Send) -> None:
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def event(data: bytes, comment: bytes = b"") -> bytes:
    """`comment` is a whole line, or empty."""
    return comment + b"data: " + data + b"\n\n"


LAST_EVENT = event(b"[DONE]")
