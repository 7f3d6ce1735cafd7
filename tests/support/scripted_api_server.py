"""An HTTP server that speaks list and watch, and misbehaves on request."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from octavo_api.api_server import ApiServer

Item = dict[str, Any]


def item(name: str, version: int, **labels: str) -> Item:
    metadata = {"namespace": "n", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": {"service": "s"} | labels}}


class ScriptedApiServer:
    """The objects of one kind."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.version = 1
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.list_failures: list[web.Response] = []
        self.watch_failures: list[web.Response] = []
        self.refuse_all = False
        """As a role that does not allow the kind."""
        self._streams: list[tuple[asyncio.Queue[Item | bytes | None], str]] = []

    def put(self, name: str, *, silently: bool = False, **labels: str) -> None:
        """`silently`: no watch hears of it."""
        self.version += 1
        kind = "MODIFIED" if name in self.items else "ADDED"
        self.items[name] = item(name, self.version, **labels)
        if not silently:
            self.send({"type": kind, "object": self.items[name]})

    def put_manifest(self, manifest: Item) -> None:
        """With its version set, as the API server does it."""
        self.version += 1
        name = manifest["metadata"]["name"]
        kind = "MODIFIED" if name in self.items else "ADDED"
        metadata = {"uid": f"uid-{name}", **manifest["metadata"], "resourceVersion": str(self.version)}
        self.items[name] = {**manifest, "metadata": metadata}
        self.send({"type": kind, "object": self.items[name]})

    def remove(self, name: str, *, silently: bool = False) -> None:
        self.version += 1
        gone = self.items.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.version)
        if not silently:
            self.send({"type": "DELETED", "object": gone})

    def send(self, event: Item) -> None:
        for stream, selector in self._streams:
            if _is_selected(event["object"], selector):
                stream.put_nowait(event)

    def drop_watches(self, after: bytes | None = None) -> None:
        """`after`: the last that they say."""
        for stream, _ in self._streams:
            if after is not None:
                stream.put_nowait(after)
            stream.put_nowait(None)

    @property
    def num_open_watches(self) -> int:
        return len(self._streams)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_all:
            return failure(403, "Forbidden")
        return await self._watch(request) if "watch" in request.query else self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        self.lists.append(dict(request.query))
        if self.list_failures:
            return self.list_failures.pop(0)
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        selector = request.query.get("fieldSelector", "")
        selected = [one for one in self.items.values() if _is_selected(one, selector)]
        everything = sorted(selected, key=lambda one: str(one["metadata"]["name"]))
        metadata = {"resourceVersion": str(self.version)}
        if start + limit < len(everything):
            metadata["continue"] = str(start + limit)
        return web.json_response({"metadata": metadata, "items": everything[start : start + limit]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches.append(dict(request.query))
        if self.watch_failures:
            return self.watch_failures.pop(0)
        response = web.StreamResponse()
        await response.prepare(request)
        stream: asyncio.Queue[Item | bytes | None] = asyncio.Queue()
        subscription = stream, request.query.get("fieldSelector", "")
        self._streams.append(subscription)
        try:
            while (event := await stream.get()) is not None:
                line = event if isinstance(event, bytes) else json.dumps(event).encode()
                await response.write(line + b"\n")
        finally:
            self._streams.remove(subscription)
        return response


def _is_selected(one: Item, field_selector: str) -> bool:
    name = one.get("metadata", {}).get("name")
    return not field_selector or name is None or field_selector == f"metadata.name={name}"


def failure(status: int, reason: str, **headers: str) -> web.Response:
    return web.json_response({"reason": reason, "message": "scripted"}, status=status, headers=headers)


@asynccontextmanager
async def scripted_api_server() -> AsyncIterator[tuple[ScriptedApiServer, ApiServer]]:
    """All pods, for an informer alone."""
    pods = ScriptedApiServer()
    async with scripted_cluster({"/api/v1/pods": pods}) as (client, _):
        yield pods, client


@asynccontextmanager
async def scripted_cluster(kinds: Mapping[str, ScriptedApiServer]) -> AsyncIterator[tuple[ApiServer, str]]:
    """`kinds` by path, e.g. /api/v1/namespaces/n/pods; also gives the URL."""
    app = web.Application()
    for path, kind in kinds.items():
        app.router.add_get(path, kind.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = ApiServer(Configuration(host=url))
    try:
        yield client, url
    finally:
        await client.close()
        await runner.cleanup()
