"""uvicorn as the gateway runs it: no signals of its own, and bounds on what a stranger can do."""

import asyncio
import contextlib
import fcntl
import socket
import termios
from array import array
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from octavo_gateway.errors import ApiError, BadRequest, HeadersTooLarge

MAX_HEADER_BYTES = 64 * 1024
STALLED_SECONDS = 120.0
"""A client that takes nothing of its answer for so long is cut."""
_HEAD_SECONDS = 30.0
_SEND_BUFFER_BYTES = 128 * 1024  # the kernel doubles it
_KEEP_ALIVE_SECONDS = 75  # longer than clients and proxies keep idle connections, so they close first
_LAST_WORDS_SECONDS = 5
_LINGER_SECONDS = 1
_LINES = {400: b"400 Bad Request", 431: b"431 Request Header Fields Too Large"}


def headers_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"the headers exceed {MAX_HEADER_BYTES // 1024} KiB; send smaller ones")


def listening_socket(host: str, port: int) -> socket.socket:
    """Raises OSError. Port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle off on every accepted connection; without, it does not.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit what follows. Left alone, the kernel holds megabytes for a slow reader.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        # A client that vanished while it waited is found in two minutes.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(2048)
    listener.setblocking(False)
    return listener


class HttpServer(uvicorn.Server):
    """`options` are uvicorn.Config's, e.g. ssl_certfile and ssl_keyfile."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttpProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
                **options,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals mean a drain first; the process handles them, not uvicorn."""
        yield

    async def serve_on(self, listener: socket.socket) -> None:
        await self.serve(sockets=[listener])

    def let_go(self) -> None:
        """Close the connections: idle ones now, others behind their answers."""
        for connection in tuple(self.server_state.connections):
            connection.shutdown()

    def stop(self) -> None:
        self.should_exit = True


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn bounds neither a head's size nor the patience with a slow head or a reader that stalls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = False
        self._is_in_message = False
        self._has_brought_body = False
        self._is_refused = False
        self._num_head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = self._is_in_message = True
        self._num_head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes later is a trailer: it would change the headers of a request that is being answered.
        if self._is_in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._has_brought_body, self._num_head_bytes = True, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._has_brought_body = False
        super().data_received(data)
        # Trailers count like a head: the parser keeps an endless one as well.
        if self._is_in_message and not self._has_brought_body:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self._refuse(headers_too_large())

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("the request is not valid HTTP/1.1"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_stall(self._num_unread_bytes())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _watch_stall(self, num_waiting: int) -> None:
        """Nothing is written while writing is paused, so what waits shrinks by what the client takes."""

        def look() -> None:
            now_waiting = self._num_unread_bytes()
            if now_waiting >= num_waiting:
                self.transport.abort()
            else:
                self._watch_stall(now_waiting)

        self._stall_timer = self.loop.call_later(STALLED_SECONDS, look)

    def _num_unread_bytes(self) -> int:
        """Ours and the kernel's: a slow client takes of the kernel's for long before ours moves."""
        in_kernel = array("i", [0])
        fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, in_kernel)
        return self.transport.get_write_buffer_size() + in_kernel[0]

    def _refuse(self, error: ApiError) -> None:
        """Answer, then throw away what still comes: closing at once would reset the answer away."""
        self._is_refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                # An answer is on its way on this connection; ours would land inside it.
                self.transport.close()
                return
        body = error.body()
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (_LINES[error.status], len(body), body)
        )
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
