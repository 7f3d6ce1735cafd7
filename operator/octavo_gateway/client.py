"""The client's side of one exchange: its request within bounds, its answer, and its leaving."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

from octavo_gateway.errors import ApiError, BodyTooLarge, ClientDisconnected, RequestTimeout, Unavailable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Header = tuple[bytes, bytes]

MAX_BODY_BYTES = 31 * 1024 * 1024
"""A mebibyte below the engine's limit: a stream that goes on sends its tokens along with the body."""
_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_BODY_SILENCE_SECONDS = 60.0
_BODY_SECONDS = 300.0
"""A whole body has to be there by then, however it drips: it takes memory that others wait for."""
_SMALL_BODY_BYTES = 1024 * 1024
_JSON = (b"content-type", b"application/json")


class Receive(Protocol):
    async def __call__(self) -> Message: ...


class Send(Protocol):
    async def __call__(self, message: Message, /) -> None: ...


class BodyMemory:
    """Bytes of bodies that the process holds at once. A request holds its body to the end, for retries.

    A quarter is for small bodies alone, so that a few huge ones do not lock out everybody.
    """

    def __init__(self, max_bytes: int) -> None:
        self._num_free = max_bytes
        self._num_for_small = max_bytes // 4

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Yields what takes so many bytes more; all are given back at the block's end. Raises Unavailable."""
        num_held = 0

        def take(num_bytes: int) -> None:
            nonlocal num_held
            is_small = num_held + num_bytes <= _SMALL_BODY_BYTES
            if num_bytes > self._num_free - (0 if is_small else self._num_for_small):
                raise Unavailable(
                    "too many large requests at once; try again", code="server_overloaded", retry_after=1
                )
            self._num_free -= num_bytes
            num_held += num_bytes

        try:
            yield take
        finally:
            self._num_free += num_held


class Client:
    """`status` and `is_complete` say how far the answer has come; `request_id` goes all the way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.num_header_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        self.status: int | None = None
        self.is_complete = False
        self.is_closing = False
        """Answers carry `connection: close`."""
        self.request_id = _request_id(self.headers.get(b"x-request-id", b""))
        self._receive = receive
        self._send = send

    @property
    def host(self) -> str:
        return self.headers.get(b"host", b"").decode("latin-1").lower()

    async def read_body(self, take: Callable[[int], None]) -> bytes:
        """Raises BodyTooLarge, RequestTimeout and ClientDisconnected, and what `take` raises."""
        too_large = BodyTooLarge(f"the body exceeds {MAX_BODY_BYTES // 2**20} MiB; send a smaller request")
        announced = self.headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            raise too_large
        parts: list[bytes] = []
        num_bytes = 0
        clock = asyncio.get_running_loop().time
        deadline = clock() + _BODY_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(min(clock() + _BODY_SILENCE_SECONDS, deadline)):
                    message = await self._receive()
            except TimeoutError:
                self.is_closing = True
                raise RequestTimeout("the body did not come; send the request again") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            part = message.get("body", b"")
            take(len(part))
            parts.append(part)
            num_bytes += len(part)
            if num_bytes > MAX_BODY_BYTES:
                raise too_large
            if not message.get("more_body", False):
                return b"".join(parts)

    @contextlib.asynccontextmanager
    async def while_here(self) -> AsyncIterator[None]:
        """Cancels the block when the client leaves, and raises ClientDisconnected. The body must be read."""
        work = asyncio.current_task()
        assert work is not None
        has_left = False

        async def watch() -> None:
            nonlocal has_left
            while (await self._receive())["type"] != "http.disconnect":
                pass
            if not self.is_complete:
                has_left = True
                work.cancel()

        watcher = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if has_left and not work.uncancel():
                raise ClientDisconnected from None
            raise
        finally:
            watcher.cancel()

    async def start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        ours = [(b"x-request-id", self.request_id.encode())]
        if self.is_closing:
            # Kept-alive connections would bring further requests to a server that is leaving.
            ours.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *ours]})

    async def send(self, body: bytes) -> None:
        """Returns when the transport takes more: who reads no further until then keeps memory flat."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, body: bytes = b"") -> None:
        self.is_complete = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def answer(self, status: int, headers: list[Header], body: bytes) -> None:
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.finish(body)

    async def refuse(self, error: ApiError) -> None:
        await self.answer(error.status, [_JSON, *encoded(error.headers)], error.body())


def encoded(headers: Mapping[str, str]) -> list[Header]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _request_id(given: bytes) -> str:
    """The caller's own where it is harmless, else a new one."""
    return given.decode() if _SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
