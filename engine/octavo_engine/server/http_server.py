"""uvicorn as we run it: our signals, our logs, and bounds on what an unauthenticated peer can send."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.server.limits import MAX_HEADER_BYTES

_REFUSAL_BODY = (
    b'{"error":{"message":"the headers exceed the limit; send smaller ones",'
    b'"type":"invalid_request_error","param":null,"code":null}}'
)
_HEADERS_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_REFUSAL_BODY), _REFUSAL_BODY)
)
_KEEP_ALIVE_SECONDS = 75  # longer than clients and proxies keep idle connections, so they close first
_LAST_WORDS_SECONDS = 5
_LINGER_SECONDS = 1


def listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle off on every accepted connection; without, it does not.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidEngineConfig(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another --host or --port"
        ) from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener


class HttpServer(uvicorn.Server):
    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttpProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # X-Forwarded-For would let a peer pass for loopback, which /drain trusts.
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals mean a drain first; `serve` handles them, not uvicorn."""
        yield

    async def serve_on(self, listener: socket.socket) -> None:
        await self.serve(sockets=[listener])

    def stop(self) -> None:
        self.should_exit = True


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's parser takes headers without end; here a head that outgrows the limit is refused."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._is_in_head = False
        self._is_refused = False
        self._num_head_bytes = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._num_head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if self._is_in_head:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self._refuse()

    def _refuse(self) -> None:
        """Answer, then throw away what still comes: closing at once would reset the answer away."""
        self._is_refused = True
        self.transport.write(_HEADERS_TOO_LARGE)
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
