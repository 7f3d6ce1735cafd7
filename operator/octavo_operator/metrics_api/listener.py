"""The port of the metrics API: who gets through its TLS, and how certificates change while it listens."""

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

from octavo_operator.metrics_api.certificate import ServingCertificate

SHUTDOWN_SECONDS = 2.0


class Listener:
    """Owns the socket. A change of trust or certificate opens a new one before the old one closes."""

    def __init__(self, port: int, host: str = "0.0.0.0") -> None:
        self._address = host, port
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int | None:
        """None while nothing listens."""
        if self._runner is None or not self._runner.addresses:
            return None
        port: int = self._runner.addresses[0][1]
        return port

    async def listen(self, app: web.Application, context: ssl.SSLContext) -> None:
        """From now on with these. Requests on the former socket still get their answers. Raises OSError."""
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address, ssl_context=context, reuse_port=True).start()
        except OSError:
            await runner.cleanup()
            raise
        former, self._runner = self._runner, runner
        if former is not None:
            await former.cleanup()

    async def close(self) -> None:
        former, self._runner = self._runner, None
        if former is not None:
            await former.cleanup()


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
