"""The gateway's certificate, read again when its files change: Secrets are renewed while we run."""

import asyncio
import logging
import ssl

from octavo_gateway.settings import TlsFiles

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 10.0

Stamp = tuple[tuple[int, int], ...]


class Certificate:
    """Owns the context that new connections are made with. Raises OSError, ssl.SSLError among them."""

    def __init__(self, files: TlsFiles) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._files = files
        self._stamp = self._stat()
        self.context.load_cert_chain(files.certificate, files.key)

    async def run(self, every_seconds: float = LOOK_EVERY_SECONDS) -> None:
        """Until cancelled. Connections that are open keep the certificate that they began with."""
        while True:
            await asyncio.sleep(every_seconds)
            self.look()

    def look(self) -> None:
        """Takes a changed pair; what does not fit together is said once and leaves the old one in place."""
        try:
            stamp = self._stat()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            # A live context that fails half-way would serve a certificate without its key.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._files.certificate, self._files.key)
            self.context.load_cert_chain(self._files.certificate, self._files.key)
        except OSError as error:
            log.error("the new TLS certificate cannot be used, the old one stays: %s", error)
        else:
            log.info("the TLS certificate was renewed")

    def _stat(self) -> Stamp:
        """Changes with the files, also where a link to them is turned round."""
        return tuple(
            (status.st_mtime_ns, status.st_ino)
            for status in (path.stat() for path in (self._files.certificate, self._files.key))
        )
