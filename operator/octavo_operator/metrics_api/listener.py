"""The port of the metrics API: who gets through its TLS, and how certificates change while it listens."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

from octavo_operator.metrics_api.certificate import ServingCertificate

SHUTDOWN_SECONDS = 2.0
LINGER_SECONDS = 5.0
"""A connection that was just made has brought its request by then."""


@dataclass(frozen=True, slots=True)
class _Serving:
    runner: web.AppRunner
    site: web.SockSite


class Listener:
    """Owns the socket, which stays the same whatever it is served with.

    No connection is lost by a change: an API server that meets a closed one in its discovery holds on to that
    for a minute, and deletes no namespace meanwhile.
    """

    def __init__(self, port: int, host: str = "0.0.0.0", *, linger: float = LINGER_SECONDS) -> None:
        self._address = host, port
        self._linger = linger
        self._socket: socket.socket | None = None
        self._serving: _Serving | None = None

    @property
    def port(self) -> int | None:
        """None while nothing listens."""
        if self._socket is None or self._serving is None:
            return None
        port: int = self._socket.getsockname()[1]
        return port

    async def listen(self, app: web.Application, context: ssl.SSLContext) -> None:
        """Serve what comes from now on with these. Raises OSError."""
        if self._socket is None:
            self._socket = socket.create_server(self._address, backlog=128)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        site = web.SockSite(runner, self._socket.dup(), ssl_context=context)
        await site.start()
        former, self._serving = self._serving, _Serving(runner, site)
        if former is not None:
            try:
                await former.site.stop()
                await asyncio.sleep(self._linger)
            finally:
                await former.runner.cleanup()

    async def close(self) -> None:
        former, self._serving = self._serving, None
        if former is not None:
            await former.runner.cleanup()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def server_context(serving: ServingCertificate, client_ca_pem: str) -> ssl.SSLContext:
    """TLS that ends with whoever has no certificate of the client CA. Raises ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=client_ca_pem)
    # The CA that is named may itself have been signed by another, which Go does not ask for either.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    # Python takes the pair from files alone.
    with TemporaryDirectory(prefix="octavo-metrics-api-") as folder:
        pair = Path(folder, "pair.pem")
        pair.touch(mode=0o600)
        pair.write_text(serving.key + serving.certificate)
        context.load_cert_chain(pair)
    return context
