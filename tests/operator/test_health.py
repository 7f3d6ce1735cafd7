import asyncio
import time

import pytest
from aiohttp.test_utils import TestClient, TestServer

from octavo_operator import health
from octavo_operator.children import Children
from octavo_operator.health import INFORMER_SILENCE, Parts, health_app
from octavo_operator.lease import Lease
from octavo_operator.metrics import Metrics
from octavo_operator.observed import ObjectKey
from octavo_operator.two_watches import TwoWatches
from octavo_operator.work_queue import WorkQueue


def health_parts(children: Children, queue: WorkQueue[ObjectKey], lease: Lease | None = None) -> Parts:
    watches = TwoWatches(children.inference_services, queue.add)
    return Parts(informers=children.all, queue=queue, watches=watches, lease=lease)


async def answers(children: Children, queue: WorkQueue[ObjectKey]) -> dict[str, tuple[int, str]]:
    async with TestClient(TestServer(health_app(health_parts(children, queue), Metrics()))) as client:
        made = {}
        for path in ("/healthz", "/readyz"):
            response = await client.get(path)
            made[path] = (response.status, await response.text())
        return made


def parts() -> tuple[Children, WorkQueue[ObjectKey]]:
    async def visit(_: ObjectKey) -> float | None:
        return None

    queue = WorkQueue[ObjectKey](visit)
    return Children(None, queue.add), queue  # type: ignore[arg-type]


async def test_it_is_alive_before_the_caches_are_filled_and_ready_after() -> None:
    children, queue = parts()
    assert await answers(children, queue) == {"/healthz": (200, "ok"), "/readyz": (503, "listing")}
    for informer in children.all:
        informer.synced.set()
    assert (await answers(children, queue))["/readyz"] == (200, "ok")


async def test_a_watch_that_stands_still_is_no_life() -> None:
    children, queue = parts()
    children.pods.last_progress = time.monotonic() - INFORMER_SILENCE - 1
    status, text = (await answers(children, queue))["/healthz"]
    assert status == 503 and "the watch of pods stands still" in text


async def test_a_key_that_nobody_visits_is_no_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONGEST_QUEUE", 0.01)

    async def visit(_: ObjectKey) -> float | None:
        await asyncio.Event().wait()
        return None

    queue = WorkQueue[ObjectKey](visit)
    children = Children(None, queue.add)  # type: ignore[arg-type]
    queue.add(ObjectKey("team", "stuck"))
    queue.add(ObjectKey("team", "starved"))
    assert (await answers(children, queue))["/healthz"] == (200, "ok")  # a stand-by visits nothing
    task = asyncio.create_task(queue.run(1))
    await asyncio.sleep(0.05)
    status, text = (await answers(children, queue))["/healthz"]
    assert status == 503 and "a service waits for 0 s" in text
    task.cancel()
