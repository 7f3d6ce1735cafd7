"""Stands between an operator and the API server: counts what it writes, and kills it after the n-th write."""

import asyncio
import ctypes
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import aiohttp
from aiohttp import web

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
CLONE_NEWNET = 0x40000000
ITS_OWN = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
"""Headers that each side of a proxy makes for itself."""


class KillingProxy:
    """Listens on the cluster's loopback without TLS and speaks to the API server as the administrator."""

    def __init__(self, server: str, credentials: ssl.SSLContext, namespace: str, network: Path) -> None:
        """`network` is the network namespace of the cluster: an operator in there reaches the gateways."""
        self.network = network
        self._server = server
        self._credentials = credentials
        self._within = f"/namespaces/{namespace}/"
        self._victim: subprocess.Popen[bytes] | None = None
        self._kill_after = 0
        self.writes: list[str] = []
        self.port = 0

    def arm(self, victim: subprocess.Popen[bytes], kill_after: int | None) -> None:
        """From now on `writes` begins anew; None lets the operator live."""
        self.writes.clear()
        self._victim, self._kill_after = victim, kill_after or 0

    @contextmanager
    def running(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()

        def run() -> None:
            enter(self.network)
            loop.run_forever()

        thread = Thread(target=run, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), loop).result(timeout=10)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(), loop).result(timeout=10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=10)
            loop.close()

    async def _start(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._credentials, limit=0)
        self._session = aiohttp.ClientSession(
            self._server,
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        # The watches of dead operators are still being forwarded.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._session.close()
        await asyncio.sleep(0.25)  # aiohttp closes the sockets of TLS connections a little later

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ITS_OWN}
        body = await request.read()
        async with self._session.request(
            request.method, request.rel_url, headers=headers, data=body or None
        ) as answer:
            if request.method in WRITES and answer.status < 400:
                self._count(request)
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in ITS_OWN}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            return response

    def _count(self, request: web.Request) -> None:
        if self._within not in request.path:
            return
        self.writes.append(f"{request.method} {request.path.partition(self._within)[2]}")
        if self._victim is not None and len(self.writes) == self._kill_after:
            # The write stands, and the operator never learns of it.
            self._victim.send_signal(signal.SIGKILL)


def enter(network: Path) -> None:
    """Sockets that this thread makes from now on are in that network."""
    libc = ctypes.CDLL(None, use_errno=True)
    with network.open("rb") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(network))
