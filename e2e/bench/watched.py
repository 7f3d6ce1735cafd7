"""What the bench itself sees of the cluster: two watches, through the way from the host."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubectl import condition
from octavo_api.api_server import INFERENCE_SERVICES, SERVICES, ApiServer
from octavo_api.informer import Informer
from octavo_api.names import LABEL_SERVICE

MARK = "octavo.local/bench"
"""The annotation that is changed."""
Manifest = dict[str, Any]


class Watched:
    """`seen_at`: when the Service of a change with this number was seen, in time.monotonic()."""

    def __init__(self, server: ApiServer, namespaces: set[str]) -> None:
        self.server = server
        self.seen_at: dict[int, float] = {}
        self.ready: set[tuple[str, str]] = set()
        self.services = Informer(server, INFERENCE_SERVICES, on_change=self._take_service, transform=brief)
        self._children = Informer(
            server, SERVICES, label_selector=LABEL_SERVICE, on_change=self._take_child, transform=brief
        )
        self._namespaces = namespaces

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for informer in (self.services, self._children):
                group.create_task(informer.run())

    async def synced(self) -> None:
        await self.services.synced.wait()
        await self._children.synced.wait()

    def _take_service(self, item: Manifest) -> None:
        meta = item["metadata"]
        key = meta["namespace"], meta["name"]
        if meta["namespace"] not in self._namespaces:
            return
        is_ready = condition(item, "Ready").get("status") == "True"
        if is_ready and self.services.get(*key) is not None:
            self.ready.add(key)
        else:
            self.ready.discard(key)

    def _take_child(self, item: Manifest) -> None:
        if number := (item["metadata"].get("annotations") or {}).get(MARK):
            self.seen_at.setdefault(int(number), time.monotonic())


def brief(raw: Manifest) -> Manifest:
    meta = {name: raw["metadata"][name] for name in ("namespace", "name", "uid", "resourceVersion")}
    annotations = raw["metadata"].get("annotations") or {}
    return {
        "metadata": {**meta, "annotations": {MARK: annotations[MARK]} if MARK in annotations else {}},
        "status": {"conditions": [condition(raw, "Ready")] if condition(raw, "Ready") else []},
    }


@asynccontextmanager
async def watched(kubeconfig: Path, namespaces: set[str]) -> AsyncIterator[Watched]:
    server = await ApiServer.connect(str(kubeconfig))
    seen = Watched(server, namespaces)
    watching = asyncio.create_task(seen.run())
    try:
        await asyncio.wait_for(seen.synced(), 30)
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await server.close()
