"""A FakeApiServer behind real HTTP, for whole operators: discovery, lists, watches that go on from a version,
writes. It counts the requests and misbehaves on request.
"""

import asyncio
import copy
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiohttp import web
from fake_cluster import FakeApiServer, is_selected

from octavo_api import api_server
from octavo_api.api_server import ApiError, Manifest, Resource

KINDS = {
    (each.api_version, each.plural): each for each in vars(api_server).values() if isinstance(each, Resource)
}
Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""What to answer instead; None: as always."""


@dataclass(frozen=True, slots=True)
class Change:
    version: int
    resource: Resource
    kind: str
    item: Manifest


@dataclass(frozen=True, slots=True)
class Request:
    at: float
    token: str
    """Whose it is."""
    method: str
    path: str

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "WATCH")


class RecordedApiServer(FakeApiServer):
    """Keeps all changes, so that a watch can begin at any version."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[Change] = []
        self.told = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def changed(self, path: str, kind: str = "MODIFIED") -> Manifest:
        item = super().changed(path, kind)
        version = int(item["metadata"]["resourceVersion"])
        resource, _, _, _ = where(path)
        self.changes.append(Change(version, resource, kind, copy.deepcopy(item)))
        with suppress(RuntimeError):  # before there is a loop nobody watches
            task = asyncio.get_running_loop().create_task(self._tell())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return item

    async def replace(
        self, resource: Resource, namespace: str, manifest: Manifest, *, field_manager: str
    ) -> Manifest:
        path = resource.path(namespace, manifest["metadata"]["name"])
        if (live := self.objects.get(path)) is None:
            raise ApiError(404, "NotFound", path)
        if live["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", path)
        self.writes.append(f"replace {resource.kind}")
        return self.put(path, copy.deepcopy(manifest))

    async def _tell(self) -> None:
        async with self.told:
            self.told.notify_all()


def where(path: str) -> tuple[Resource, str | None, str | None, str]:
    """Kind, namespace, name and subresource of a path."""
    parts = path.strip("/").split("/")
    version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = None
    if not rest:  # a group that we do not serve
        raise ApiError(404, "NotFound", path)
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:], "", "")[:2]
    return KINDS[version, rest[0]], namespace, name or None, subresource


class HttpApiServer:
    def __init__(self) -> None:
        self.fake = RecordedApiServer()
        self.fault: Fault | None = None
        self.requests: Counter[str] = Counter()
        """By method, with WATCH for watches, and path."""
        self.log: list[Request] = []
        self.num_open_watches = 0
        self.oldest = 0
        """Watches from before this version are answered with 410."""
        self.url = ""
        self._watching: list[asyncio.Transport] = []
        self._port = 0
        self._runner: web.AppRunner | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["HttpApiServer"]:
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def start(self) -> None:
        """The second time on the same port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Connections are refused from now on, and those that stand break."""
        self.break_watches()
        assert self._runner is not None
        await self._runner.cleanup()

    def break_watches(self) -> None:
        """As a load balancer does: in the middle, without an end."""
        for transport in self._watching:
            transport.abort()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = "WATCH" if "watch" in request.query else request.method
        self.requests[f"{method} {request.path}"] += 1
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.log.append(Request(time.monotonic(), token, method, request.path))
        if self.fault is not None and (instead := await self.fault(request)) is not None:
            return instead
        if (found := _discovery(request.path)) is not None:
            return web.json_response(found)
        try:
            return await self._serve(request)
        except ApiError as error:
            return failure(error.status, error.reason)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, name, _ = where(request.path)
        fake = self.fake
        if "watch" in request.query:
            return await self._watch(request, resource, namespace)
        if request.method == "GET" and name is None:
            return web.json_response(await fake.list_page(resource, namespace, dict(request.query)))
        if request.method == "GET":
            found = await fake.get(resource, namespace or "", name or "")
            return failure(404, "NotFound") if found is None else web.json_response(found)
        body = json.loads(await request.read())
        match request.method:
            case "POST":
                if "name" not in body["metadata"]:
                    fake.events.append(body["reason"])
                    return web.json_response(body, status=201)
                made = await fake.create(resource, namespace or "", body)
            case "PUT":
                made = await fake.replace(resource, namespace or "", body, field_manager="")
            case "DELETE":
                uid = body["preconditions"]["uid"]
                await fake.delete(resource, namespace or "", name or "", uid=uid)
                made = {"status": "Success"}
            case _ if "apply" in request.content_type:
                made = await fake.apply(request.path, body, field_manager="")
            case _:
                made = await fake.merge(request.path, body, field_manager="")
        return web.json_response(made)

    async def _watch(
        self, request: web.Request, resource: Resource, namespace: str | None
    ) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion", 0))
        if since < self.oldest:
            return failure(410, "Expired")
        response = web.StreamResponse()
        await response.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._watching.append(transport)
        self.num_open_watches += 1
        position = 0
        try:
            while True:
                for change in self.fake.changes[position:]:
                    is_meant = change.resource == resource and change.version > since
                    if is_meant and _is_watched(
                        change.item, namespace, request.query.get("labelSelector", "")
                    ):
                        event = {"type": change.kind, "object": change.item}
                        await response.write(json.dumps(event).encode() + b"\n")
                position = len(self.fake.changes)
                async with self.fake.told:
                    await self.fake.told.wait_for(lambda: len(self.fake.changes) > position)  # noqa: B023
        except ConnectionResetError:
            return response
        finally:
            self._watching.remove(transport)
            self.num_open_watches -= 1


def failure(status: int, reason: str, **headers: str) -> web.Response:
    body = {"kind": "Status", "reason": reason, "message": "scripted", "code": status}
    return web.json_response(
        body, status=status, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def _is_watched(item: Manifest, namespace: str | None, selector: str) -> bool:
    return namespace in (None, item["metadata"]["namespace"]) and is_selected(item, selector)


def _discovery(path: str) -> Manifest | None:
    """What kopf asks for before it watches; without the kind Namespace it waits for ever."""
    resource = api_server.INFERENCE_SERVICES
    group, _, version = resource.api_version.partition("/")
    match path.rstrip("/"):
        case "/api":
            return {"versions": ["v1"]}
        case "/apis":
            versions = [{"groupVersion": resource.api_version, "version": version}]
            return {"groups": [{"name": group, "versions": versions, "preferredVersion": versions[0]}]}
        case "/api/v1":
            return _resource_list("v1", "namespaces", "Namespace", namespaced=False)
        case each if each == f"/apis/{resource.api_version}":
            return _resource_list(resource.api_version, resource.plural, resource.kind, namespaced=True)
    return None


def _resource_list(version: str, plural: str, kind: str, *, namespaced: bool) -> Manifest:
    verbs = ["get", "list", "watch", "patch"]
    described = {"name": plural, "kind": kind, "singularName": "", "namespaced": namespaced, "verbs": verbs}
    return {"groupVersion": version, "resources": [described]}
