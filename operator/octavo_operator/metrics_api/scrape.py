"""Asks engine pods for their gauges, each at most once a second whoever wants to know."""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import aiohttp

from octavo_api.names import ENGINE_PORT, PATH_METRICS
from octavo_operator.metrics_api.exposition import read_gauges
from octavo_operator.metrics_api.samples import EnginePodAddress, Gauges

log = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 1.0
BELIEVED_SECONDS: Final = 1.0
"""An HPA asks for one metric after the other, and so do many HPAs that are synced at once."""
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_AT_ONCE: Final = 128


class NotMetrics(ValueError):
    """The page is not what an engine says."""


@dataclass(frozen=True, slots=True)
class _Question:
    began: float
    answer: asyncio.Task[Gauges | None]


class Scraper:
    """Owns the questions that are under way and the answers of the last second."""

    def __init__(self, *, port: int = ENGINE_PORT, clock: Callable[[], float] = time.monotonic) -> None:
        self._port = port
        self._clock = clock
        self._questions: dict[tuple[str, str], _Question] = {}
        """By uid and address: neither alone says that it is still the same server."""
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def gauges(self, pods: Iterable[EnginePodAddress]) -> Mapping[EnginePodAddress, Gauges]:
        """Of those that serve. A pod that does not answer within a second is left out like one that loads."""
        self._forget_old()
        questions = {pod: self._ask_once(pod) for pod in pods}
        if questions:
            # Whoever loses patience here takes nothing from the others who wait for the same answers.
            await asyncio.wait(questions.values())
        return {pod: gauges for pod, task in questions.items() if (gauges := task.result()) is not None}

    async def close(self) -> None:
        tasks = [question.answer for question in self._questions.values()]
        self._questions.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _ask_once(self, pod: EnginePodAddress) -> "asyncio.Task[Gauges | None]":
        key = pod.uid, pod.ip
        if (question := self._questions.get(key)) is None:
            question = _Question(
                self._clock(), asyncio.create_task(self._ask(pod), name=f"scrape {pod.name}")
            )
            self._questions[key] = question
        return question.answer

    def _forget_old(self) -> None:
        oldest = self._clock() - BELIEVED_SECONDS
        for key, question in tuple(self._questions.items()):
            if question.began < oldest and question.answer.done():
                del self._questions[key]

    async def _ask(self, pod: EnginePodAddress) -> Gauges | None:
        host = f"[{pod.ip}]" if ipaddress.ip_address(pod.ip).version == 6 else pod.ip
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_SECONDS):
                return read_gauges(
                    await self._page(f"http://{host}:{self._port}{PATH_METRICS}"), datetime.now(UTC)
                )
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
