"""One attempt at one replica: a request of the gateway's own making, and what came of it."""

import contextlib
import io
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp
import msgspec

from octavo_api.names import HEADER_DRAINING
from octavo_gateway.client import Header
from octavo_gateway.routing import Endpoint

_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 60.0  # shorter than the engine's 75, so that we close first
_READ_BUFFER_BYTES = 16 * 1024
_RECEIVE_BUFFER_BYTES = 32 * 1024  # the kernel doubles it
_AT_ONCE_BYTES = 512 * 1024
_PASSED_ON = (
    *("content-type", "cache-control", "x-accel-buffering", "retry-after", "allow"),
    "x-octavo-ignored-fields",
)
"""Headers of an engine's answer that are the client's business."""

Reason = Literal[
    "connect", "reset", "failed", "draining", "model_loading", "overloaded", "token", "not_served"
]
_BY_CODE: Final[dict[tuple[int, str], Reason]] = {
    (503, "server_draining"): "draining",
    (503, "model_loading"): "model_loading",
    (503, "server_overloaded"): "overloaded",
    (401, "gateway_token_required"): "token",
    (404, "model_not_found"): "not_served",
}


class Setback(Exception):
    """A replica gave no answer that should go to a client, and nothing has: another may be asked."""

    def __init__(self, reason: Reason, answer: "Answer | None" = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer
        """Its own error, for when no other has an answer."""


class Broken(Exception):
    """A stream ended before its last event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: list[Header]
    body: bytes
    """Whole; empty where there is a stream."""
    stream: aiohttp.StreamReader | None = None


class Upstream:
    """Connections to engine pods, kept alive. Use as an async context manager."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Upstream":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS, socket_factory=_socket
            ),
            # No total: a stream lasts as long as it lasts. TCP's keep-alive finds a peer that vanished.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
            read_bufsize=_READ_BUFFER_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    @contextlib.asynccontextmanager
    async def post(
        self, endpoint: Endpoint, path: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[Answer]:
        """The replica's answer; leaving the block before a stream's end closes the connection.

        Raises Setback.
        """
        assert self._session is not None
        host = f"[{endpoint.ip}]" if ":" in endpoint.ip else endpoint.ip
        # aiohttp writes a file in pieces, where bytes would go out at once and hold up all others.
        data = body if len(body) <= _AT_ONCE_BYTES else io.BytesIO(body)
        try:
            response = await self._session.post(
                f"http://{host}:{endpoint.port}{path}", data=data, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Setback("connect") from None
        except (aiohttp.ClientError, OSError):
            raise Setback("reset") from None
        try:
            yield await _answer(response)
        finally:
            # Returns the connection to the pool where the body was read to its end, else closes it.
            response.release()


async def next_bytes(stream: aiohttp.StreamReader) -> bytes:
    """What has arrived of a body, at least a byte; b"" at its end. Raises Broken."""
    try:
        return await stream.readany()
    except (aiohttp.ClientError, OSError):
        raise Broken from None


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    headers = [
        (name.encode(), response.headers[name].encode("latin-1"))
        for name in _PASSED_ON
        if name in response.headers
    ]
    if response.status == 200 and response.content_type == "text/event-stream":
        return Answer(status=200, headers=headers, body=b"", stream=response.content)
    try:
        body = await response.read()
    except (aiohttp.ClientError, OSError):
        raise Setback("reset") from None
    if response.status >= 400 and (reason := _reason(response, body)) is not None:
        raise Setback(reason)
    return Answer(status=response.status, headers=headers, body=body)


def _reason(response: aiohttp.ClientResponse, body: bytes) -> Reason | None:
    if response.status >= 500 and HEADER_DRAINING in response.headers:
        return "draining"
    return _BY_CODE.get((response.status, error_code(body)))


class _Error(msgspec.Struct):
    code: str | None = None


class _Envelope(msgspec.Struct):
    error: _Error


def error_code(body: bytes) -> str:
    """`error.code` of an answer in OpenAI's envelope, else ""."""
    try:
        return msgspec.json.decode(body, type=_Envelope).error.code or ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A vanished node sends no reset: probes find it within half a minute."""
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    # Left alone, the kernel takes in megabytes from an engine whose client reads slowly.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000)
    return sock
