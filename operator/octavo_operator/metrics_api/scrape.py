"""Asks engine pods for their gauges, each at most once a second whoever wants to know."""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import aiohttp

from octavo_api.names import ENGINE_PORT, PATH_METRICS
from octavo_operator.metrics_api.exposition import read_gauges
from octavo_operator.metrics_api.recent import Recent
from octavo_operator.metrics_api.samples import EnginePodAddress, Gauges

log = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 1.0
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_AT_ONCE: Final = 128


class NotMetrics(ValueError):
    """The page is not what an engine says."""


class Scraper:
    def __init__(self, *, port: int = ENGINE_PORT) -> None:
        self._port = port
        self._recent = Recent(self._ask)
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def gauges(self, pods: Iterable[EnginePodAddress]) -> Mapping[EnginePodAddress, Gauges]:
        """Of those that serve. A pod that does not answer within a second is left out like one that loads."""
        answers = await self._recent.answers(pods)
        return {pod: gauges for pod, gauges in answers.items() if gauges is not None}

    async def close(self) -> None:
        await self._recent.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, pod: EnginePodAddress) -> Gauges | None:
        try:
            host = f"[{pod.ip}]" if ipaddress.ip_address(pod.ip).version == 6 else pod.ip
            url = f"http://{host}:{self._port}{PATH_METRICS}"
            async with self._slots, asyncio.timeout(TIMEOUT_SECONDS):
                return read_gauges(await self._page(url), datetime.now(UTC))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # It starts, it hangs or it is gone: whatever it is, it has no sample, and the others have theirs.
            log.debug("%s/%s gave no metrics: %s", pod.namespace, pod.name, error or type(error).__name__)
            return None

    async def _page(self, url: str) -> str:
        if self._session is None:
            # No connection is kept: a pod's address may be another pod's a moment later.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise NotMetrics(f"status {response.status}")
            page = bytearray()
            async for chunk in response.content.iter_any():
                page += chunk
                if len(page) > MAX_BYTES:
                    raise NotMetrics(f"more than {MAX_BYTES} bytes")
            return page.decode()
