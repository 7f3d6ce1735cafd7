"""The operator's parts, over real HTTP, through what API servers do to their clients.

Every fault comes in the middle of a rollout: the end is the same as without it, nothing is there twice, and
the operator does not ask in a hot loop.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from fake_cluster import FakeCluster
from http_api_server import HttpApiServer, failure
from kubernetes.aio.client import Configuration
from waiting import until

from octavo_api.api_server import ApiServer
from octavo_api.names import GATEWAY_NAME
from octavo_operator.children import Children
from octavo_operator.cluster import Cluster
from octavo_operator.gateway_reconcile import reconcile_gateway
from octavo_operator.hub import Hub
from octavo_operator.observed import GatewayKey, Key, Resolved
from octavo_operator.reconcile import reconcile
from octavo_operator.work_queue import WorkQueue

LONGEST_FAULT = 1.0


class Operator:
    """What `python -m octavo_operator` runs, but kopf: the services' own informer wakes it instead."""

    def __init__(self, http: HttpApiServer, fake: FakeCluster) -> None:
        self.server = ApiServer(Configuration(host=http.url))
        self.queue = WorkQueue[Key](self._visit)
        self.children = Children(self.server, self.queue.add, on_service=self.queue.add)
        hub = Hub(lambda *_: Resolved(), _no_token, self.queue.add)
        self._cluster = Cluster(
            self.server, self.children, hub, fake.defaults, fake.world.ask, fake.world.ask_traffic
        )

    async def _visit(self, key: Key) -> float | None:
        if isinstance(key, GatewayKey):
            return await reconcile_gateway(key, self._cluster.gateways, self.queue.add, 300.0)
        return await reconcile(key, self._cluster, datetime.now(UTC), 300.0)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.children.run())
            await self.children.synced()
            group.create_task(self.queue.run(4))


class Scene:
    def __init__(self, http: HttpApiServer, fake: FakeCluster, operator: Operator) -> None:
        self.http = http
        self.fake = fake
        self.operator = operator

    def write(self, model: str, replicas: int) -> None:
        rollout = {"maxSurge": 1, "revisionHistoryLimit": 1}
        self.fake.write_service(model={"uri": f"file:///{model}"}, replicas=replicas, rollout=rollout)

    def is_settled(self) -> bool:
        status = self.fake.service.get("status", {})
        ready = [each for each in status.get("conditions", ()) if each["type"] == "Ready"]
        return (
            bool(ready)
            and ready[0]["status"] == "True"
            and ready[0]["observedGeneration"] == self.fake.service["metadata"]["generation"]
            and len(self.fake.world.pods()) == self.fake.service["spec"]["replicas"]
        )

    async def settled(self, seconds: float = 90.0) -> None:
        await until(self.is_settled, seconds=seconds)
        await asyncio.sleep(0.3)
        assert self.is_settled()

    def end_state(self) -> list[Any]:
        return [each for each in self.fake.end_state() if GATEWAY_NAME not in each[1]]


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """A service of two replicas at rest, with an operator that runs."""
    async with HttpApiServer().running() as http:
        fake = FakeCluster(server=http.fake)
        fake.world.add_gateway("gateway-0")
        fake.write_service(replicas=2)
        operator = Operator(http, fake)
        tasks = [asyncio.create_task(operator.run()), asyncio.create_task(_move(fake))]
        try:
            it = Scene(http, fake, operator)
            await it.settled()
            yield it
            assert not any(task.done() for task in tasks), "a part of the operator has died"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await operator.server.close()


async def _move(fake: FakeCluster) -> None:
    while True:
        fake.world.step()
        await asyncio.sleep(0.01)


async def _no_token(namespace: str, name: str) -> str:
    raise AssertionError("no token was asked for")


Faults = Callable[[HttpApiServer], AbstractAsyncContextManager[None]]


def answered(status: int, reason: str, writes_alone: bool = False, **headers: str) -> Faults:
    """Every request is answered so while the fault lasts."""

    @asynccontextmanager
    async def last(http: HttpApiServer) -> AsyncIterator[None]:
        async def fault(request: web.Request) -> web.StreamResponse | None:
            if writes_alone and request.method == "GET":
                return None
            return failure(status, reason, **headers)

        http.fault = fault
        http.break_watches()
        yield
        http.fault = None

    return last


def once(status: int, reason: str) -> Faults:
    """The next write of each object is answered so."""

    @asynccontextmanager
    async def last(http: HttpApiServer) -> AsyncIterator[None]:
        seen: set[str] = set()

        async def fault(request: web.Request) -> web.StreamResponse | None:
            if request.method == "GET" or request.path in seen:
                return None
            seen.add(request.path)
            return failure(status, reason)

        http.fault = fault
        yield
        assert seen, "the fault hit nothing"

    return last


@asynccontextmanager
async def no_server(http: HttpApiServer) -> AsyncIterator[None]:
    await http.stop()
    yield
    await http.start()


@asynccontextmanager
async def dropped_watches(http: HttpApiServer) -> AsyncIterator[None]:
    async def drop() -> None:
        while True:
            http.break_watches()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(drop())
    yield
    task.cancel()


@asynccontextmanager
async def expired(http: HttpApiServer) -> AsyncIterator[None]:
    """Watches from before now are gone, and what changed meanwhile is in no watch."""
    http.oldest = 2**40
    http.break_watches()
    yield
    http.oldest = http.fake.changes[-1].version


def watches_say(*lines: bytes, then_nothing: bool = False) -> Faults:
    """Each watch that is opened says this and ends, or stays open and says no more."""

    @asynccontextmanager
    async def last(http: HttpApiServer) -> AsyncIterator[None]:
        async def fault(request: web.Request) -> web.StreamResponse | None:
            if "watch" not in request.query:
                return None
            response = web.StreamResponse()
            await response.prepare(request)
            for line in lines:
                await response.write(line + b"\n")
            if then_nothing:
                await asyncio.sleep(60)
            return response

        http.fault = fault
        http.break_watches()
        yield
        http.fault = None

    return last


@asynccontextmanager
async def slow(http: HttpApiServer) -> AsyncIterator[None]:
    async def fault(request: web.Request) -> web.StreamResponse | None:
        await asyncio.sleep(0.3)
        return None

    http.fault = fault
    yield
    http.fault = None


GONE = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}'
BROKEN = b'{"type": "ERROR", "object": {"kind": "Status", "code": 500, "reason": "InternalError"}}'
FAULTS: dict[str, Faults] = {
    "409 once a write": once(409, "Conflict"),
    "422 once a write": once(422, "Invalid"),
    "429 with Retry-After": answered(429, "TooManyRequests", Retry_After="1"),
    "500": answered(500, "InternalError"),
    "503": answered(503, "ServiceUnavailable"),
    "503 to writes": answered(503, "ServiceUnavailable", writes_alone=True),
    "403": answered(403, "Forbidden"),
    "connections refused": no_server,
    "dropped watches": dropped_watches,
    "silent watches": watches_say(then_nothing=True),
    "expired versions": expired,
    "410 as an event": watches_say(GONE),
    "watches that end at once": watches_say(),
    "500 as an event": watches_say(BROKEN),
    "a broken line": watches_say(b'{"type": "MODIF'),
    "slow answers": slow,
}


async def rolled_out(fault: Faults | None) -> tuple[list[Any], Counter[str]]:
    async with scene() as it:
        for informer in it.operator.children.all:
            informer.silent_after = 0.5
        it.http.requests.clear()
        it.write("b", 3)
        if fault is not None:
            await until(lambda: len(it.fake.server.of_kind("Deployment")) == 2)
            async with fault(it.http):
                await asyncio.sleep(LONGEST_FAULT)
        await it.settled()
        return it.end_state(), it.http.requests


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    state, _ = asyncio.run(rolled_out(None))
    return state


@pytest.mark.parametrize("name", FAULTS)
async def test_a_rollout_ends_as_if_there_had_been_no_fault(name: str, undisturbed: list[Any]) -> None:
    state, requests = await rolled_out(FAULTS[name])
    assert state == undisturbed
    assert max(requests.values()) < 60, requests.most_common(5)
    assert requests.total() < 400, requests.most_common(10)
