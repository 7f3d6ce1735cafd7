import asyncio
import time
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from octavo_operator import health
from octavo_operator.children import Children
from octavo_operator.health import INFORMER_SILENCE, Parts, health_app, troubles
from octavo_operator.lease import Lease
from octavo_operator.metrics import Metrics
from octavo_operator.observed import ObjectKey
from octavo_operator.two_watches import TwoWatches
from octavo_operator.work_queue import WorkQueue


def health_parts(children: Children, queue: WorkQueue[ObjectKey], lease: Lease | None = None) -> Parts:
    watches = TwoWatches(children.inference_services, queue.add)
    return Parts(informers=children.all, queue=queue, watches=watches, lease=lease)


async def answers(
    children: Children, queue: WorkQueue[ObjectKey], lease: Lease | None = None, unready: str = ""
) -> dict[str, tuple[int, str]]:
    asked = replace(health_parts(children, queue, lease), unready=lambda: unready)
    async with TestClient(TestServer(health_app(asked, Metrics()))) as client:
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


async def test_a_part_that_is_not_ready_says_why() -> None:
    children, queue = parts()
    for informer in children.all:
        informer.synced.set()
    assert await answers(children, queue, unready="no port yet") == {
        "/healthz": (200, "ok"),
        "/readyz": (503, "no port yet"),
    }


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


async def test_an_election_that_stands_still_is_no_life() -> None:
    children, queue = parts()
    lease = Lease(None, "system", "a")  # type: ignore[arg-type]
    assert (await answers(children, queue, lease))["/healthz"] == (200, "ok")  # before it begins
    lease.last_try = time.monotonic() - health.ELECTION_SILENCE - 1
    status, text = (await answers(children, queue, lease))["/healthz"]
    assert status == 503 and "the election stands still for 61 s" in text


async def test_a_watch_of_kopf_that_stays_behind_is_no_life(monkeypatch: pytest.MonkeyPatch) -> None:
    children, queue = parts()
    monkeypatch.setattr(health, "KOPF_BEHIND", 0.01)
    watches = TwoWatches(children.inference_services, queue.add)
    metadata = {"namespace": "team", "name": "demo", "uid": "u", "resourceVersion": "5"}
    children.inference_services.remember({"metadata": metadata, "spec": {}})
    watches.informer_knows(ObjectKey("team", "demo"))
    await asyncio.sleep(0.05)
    found = troubles(Parts(informers=children.all, queue=queue, watches=watches))
    assert found == ["kopf's watch of inferenceservices is 0 s behind our own"]
