"""A cache of the objects that a selector picks, kept current by list and watch.

It survives what API servers do: expired versions (410), dropped and silent connections, 429 and 5xx.
Whoever needs an object asks the cache; whoever must act is told which object changed, not how.
"""

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Protocol

from octavo_api.api_server import ApiError, Manifest, Resource

log = logging.getLogger(__name__)

ObjectName = tuple[str, str]  # namespace, name

PAGE_SIZE = 200
"""A page of pods is about a megabyte: longer ones hold up the event loop, and are the peak of memory."""
# The API server sends a bookmark about once a minute.
SILENT_AFTER = 100.0
WATCH_SECONDS = (240, 300)
LONGEST_WAIT = 30.0
SHORT_WATCH = 5.0


class ListWatch(Protocol):
    async def list_page(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str]
    ) -> Manifest: ...

    def watch(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], *, silent_after: float
    ) -> AsyncGenerator[Manifest, None]: ...


class Expired(Exception):
    """The version that we wanted to go on from is no longer known: list again."""


class Informer:
    """One kind, by labels, by fields, or all of it.

    `index_label` names the label whose value `of()` looks up. A role for objects of certain names also
    allows to list and watch one of them, with `field_selector` "metadata.name=NAME". Only what `transform`
    makes of an object is kept, and a change that does not show in it is none; metadata it leaves whole enough
    for identity, version and index.
    """

    def __init__(
        self,
        server: ListWatch,
        resource: Resource,
        *,
        on_change: Callable[[Manifest], None],
        transform: Callable[[Manifest], Manifest] = lambda item: item,
        label_selector: str = "",
        field_selector: str = "",
        index_label: str = "",
        namespace: str | None = None,
        silent_after: float = SILENT_AFTER,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.last_progress = time.monotonic()
        self.num_watches = 0
        """Opened so far."""
        self._server = server
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._selectors = {name: selector for name, selector in selectors.items() if selector}
        self._index_label = index_label
        self._on_change = on_change
        self._transform = transform
        self._namespace = namespace
        self.silent_after = silent_after
        self._objects: dict[ObjectName, Manifest] = {}
        self._index: defaultdict[ObjectName, set[ObjectName]] = defaultdict(set)
        self._version = ""
        self._watching_since = 0.0

    def get(self, namespace: str, name: str) -> Manifest | None:
        return self._objects.get((namespace, name))

    def of(self, namespace: str, label_value: str) -> tuple[Manifest, ...]:
        names = sorted(self._index.get((namespace, label_value), ()))
        return tuple(self._objects[name] for name in names)

    def all(self) -> Iterable[Manifest]:
        return self._objects.values()

    def __len__(self) -> int:
        return len(self._objects)

    def remember(self, written: Manifest) -> None:
        """Put the API server's answer to our own write in the cache: the watch brings it a moment later."""
        self._put(self._kept(written))

    async def run(self) -> None:
        """Until cancelled."""
        num_failures = 0
        while True:
            self._watching_since = time.monotonic()
            error: ApiError | None = None
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Expired:
                self._version = ""
            except ApiError as raised:
                error = raised
                log.warning("%s: list or watch failed, trying again: %s", self.resource.plural, error)
            self.last_progress = time.monotonic()
            # However it ended, a watch that lasted is no failure; one that ends at once is, even if in order.
            has_lasted = self.last_progress - self._watching_since > SHORT_WATCH
            num_failures = 0 if has_lasted else num_failures + 1
            await self._wait(num_failures, error)

    async def _wait(self, num_failures: int, error: ApiError | None) -> None:
        wait = min(LONGEST_WAIT, 0.1 * 2.0 ** min(num_failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        asked = error.retry_after if error is not None and error.retry_after is not None else 0.0
        await asyncio.sleep(max(wait, min(asked, LONGEST_WAIT)))

    async def _list(self) -> None:
        fresh: dict[ObjectName, Manifest] = {}
        query = {**self._selectors, "limit": str(PAGE_SIZE)}
        while True:
            try:
                page = await self._server.list_page(self.resource, self._namespace, query)
            except ApiError as error:
                raise (Expired() if error.status == 410 else error) from error
            for item in page.get("items") or ():
                fresh[_name(item)] = self._kept(item)
            self.last_progress = time.monotonic()
            if not (token := page["metadata"].get("continue")):
                break
            query["continue"] = token
        self._replace(fresh)
        self._version = page["metadata"]["resourceVersion"]
        self.synced.set()

    async def _watch(self) -> None:
        query = {
            **self._selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311
        }
        self.num_watches += 1
        self._watching_since = time.monotonic()
        stream = self._server.watch(self.resource, self._namespace, query, silent_after=self.silent_after)
        try:
            # Closed at once also when an event ends it: each watch holds a connection.
            async with aclosing(stream):
                async for event in stream:
                    self.last_progress = time.monotonic()
                    self._take(event["type"], event["object"])
        except ApiError as error:
            raise (Expired() if error.status == 410 else error) from error

    def _take(self, kind: str, item: Manifest) -> None:
        if kind == "ERROR":
            if item.get("code") == 410:
                raise Expired
            raise ApiError(int(item.get("code", 500)), str(item.get("reason")), str(item.get("message")))
        self._version = item["metadata"]["resourceVersion"]
        if kind in ("ADDED", "MODIFIED"):
            kept = self._kept(item)
            if self._put(kept):
                self._on_change(kept)
        elif kind == "DELETED":
            self._drop(_name(item))
            self._on_change(item)

    def _replace(self, fresh: dict[ObjectName, Manifest]) -> None:
        for name in self._objects.keys() - fresh.keys():
            self._on_change(self._drop(name))
        for item in fresh.values():
            if self._put(item):
                self._on_change(item)

    def _kept(self, item: Manifest) -> Manifest:
        # Managed fields are half of an object's size, and nobody here reads them.
        item["metadata"].pop("managedFields", None)
        return self._transform(item)

    def _put(self, item: Manifest) -> bool:
        """Whether anything but the version changed; an older one than that at hand is left out."""
        name = _name(item)
        old = self._objects.get(name)
        if old is not None and _version(old) >= _version(item) and _uid(old) == _uid(item):
            return False
        if old is not None:
            self._drop(name)
        self._objects[name] = item
        self._index[self._index_key(item)].add(name)
        return old is None or _without_version(old) != _without_version(item)

    def _drop(self, name: ObjectName) -> Manifest:
        item = self._objects.pop(name, None)
        if item is None:
            return {"metadata": {"namespace": name[0], "name": name[1]}}
        key = self._index_key(item)
        self._index[key].discard(name)
        if not self._index[key]:
            del self._index[key]
        return item

    def _index_key(self, item: Manifest) -> ObjectName:
        labels = item["metadata"].get("labels") or {}
        return item["metadata"]["namespace"], labels.get(self._index_label, "")


def _name(item: Manifest) -> ObjectName:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _uid(item: Manifest) -> str:
    return str(item["metadata"].get("uid", ""))


def _version(item: Manifest) -> int:
    return int(item["metadata"]["resourceVersion"])


def _without_version(item: Manifest) -> Manifest:
    return {**item, "metadata": {**item["metadata"], "resourceVersion": ""}}
