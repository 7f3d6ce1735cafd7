"""An API server in memory for the operator's reconcile; FakeWorld plays the cluster's own controllers.

It keeps what was applied, counts generations and versions, serves lists and watches, and can die after a
given number of writes, as an operator that is killed there would see it.
"""

import asyncio
import base64
import copy
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from fake_world import FakeWorld

from octavo_api.api_server import EVENTS, INFERENCE_SERVICES, ApiError, Resource
from octavo_api.names import GATEWAY_NAME, LABEL_REVISION
from octavo_operator.autoscalers import Autoscalers
from octavo_operator.children import Children
from octavo_operator.cluster import Cluster
from octavo_operator.gateway_reconcile import reconcile_gateway
from octavo_operator.hub import Hub
from octavo_operator.observed import GatewayKey, Manifest, ObjectKey, OperatorDefaults, Resolution, Resolved
from octavo_operator.reconcile import reconcile

KEY = ObjectKey("team", "demo")


class Killed(BaseException):
    """The operator ends here: nothing of it may catch this."""


class FakeApiServer:
    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.writes: list[str] = []
        self.num_reads: Counter[str] = Counter()
        """By kind, of objects asked for by name."""
        # A second a change, from a while ago: nothing was made in the future.
        self._begun = datetime.now(UTC) - timedelta(seconds=200)
        self.pruned: set[str] = set()
        """Fields of a status that the CRD does not know."""
        self.events: list[str] = []
        self.apis: set[str] = set()
        """Of others than Kubernetes itself."""
        self.dies_after: int | None = None
        self.failures: dict[str, list[ApiError]] = {}
        """Kind -> answers to its next applies."""
        self._versions = count(1)
        self._watches: list[tuple[str, asyncio.Queue[Manifest]]] = []

    # What the operator uses.

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        self.num_reads[resource.kind] += 1
        return copy.deepcopy(self.objects.get(resource.path(namespace, name)))

    async def list_page(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str]
    ) -> Manifest:
        items = [
            copy.deepcopy(item)
            for path, item in self.objects.items()
            if f"/{resource.plural}/" in path
            and (namespace is None or item["metadata"]["namespace"] == namespace)
            and is_selected(item, query.get("labelSelector", ""))
        ]
        return {"metadata": {"resourceVersion": str(next(self._versions))}, "items": items}

    async def watch(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], *, silent_after: float
    ) -> AsyncIterator[Manifest]:
        queue: asyncio.Queue[Manifest] = asyncio.Queue()
        self._watches.append((resource.plural, queue))
        while True:
            yield await queue.get()

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        if resource == EVENTS:
            self._count_write("create Event")
            self.events.append(manifest["reason"])
            return manifest
        path = resource.path(namespace, manifest["metadata"]["name"])
        if path in self.objects:
            raise ApiError(409, "AlreadyExists", path)
        self._count_write(f"create {resource.kind}")
        stored = copy.deepcopy(manifest)
        texts = stored.pop("stringData", {})
        stored["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        return self.put(path, stored)

    async def apply(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        if failures := self.failures.get(manifest["kind"]):
            raise failures.pop(0)
        self._count_write(f"apply {manifest['kind']}" + (" status" if path.endswith("/status") else ""))
        if path.endswith("/status"):
            item = self.objects[path.removesuffix("/status")]
            status = copy.deepcopy(manifest["status"])
            item["status"] = {name: each for name, each in status.items() if name not in self.pruned}
            return self.changed(path.removesuffix("/status"))
        return self.put(path, copy.deepcopy(manifest))

    async def merge(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        what = "scale" if path.endswith("/scale") else "merge"
        path = path.removesuffix("/scale")
        if (before := self.objects.get(path)) is None:
            raise ApiError(404, "NotFound", path)
        given = manifest["metadata"]
        if any(
            before["metadata"][name] != given[name] for name in ("uid", "resourceVersion") if name in given
        ):
            raise ApiError(409, "Conflict", path)
        self._count_write(f"{what} {before['kind']}")
        return self.put(path, _merged(before, manifest))

    async def serves(self, resource: Resource) -> bool:
        self.num_reads["discovery"] += 1
        return resource.api_version in self.apis

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        self._count_write(f"delete {resource.kind}")
        self.remove(resource.path(namespace, name))

    def _count_write(self, what: str) -> None:
        if self.dies_after == len(self.writes):
            raise Killed
        self.writes.append(what)

    # What the rest of the cluster does.

    def put(self, path: str, manifest: Manifest) -> Manifest:
        before = self.objects.get(path)
        metadata = manifest["metadata"]
        if before is None:
            number = next(self._versions)
            metadata |= {"uid": f"uid-{number}", "generation": 1}
            created = self._begun + timedelta(seconds=number)
            metadata["creationTimestamp"] = created.strftime("%Y-%m-%dT%H:%M:%SZ")
        else:
            kept = {name: before["metadata"][name] for name in ("uid", "generation", "creationTimestamp")}
            metadata |= kept
            manifest = {"status": before.get("status", {})} | manifest
            if manifest.get("spec") != before.get("spec"):
                manifest["metadata"]["generation"] += 1
        self.objects[path] = manifest
        return self.changed(path, "ADDED" if before is None else "MODIFIED")

    def remove(self, path: str) -> None:
        if path in self.objects:
            self.changed(path, "DELETED")
            del self.objects[path]

    def changed(self, path: str, kind: str = "MODIFIED") -> Manifest:
        item = self.objects[path]
        item["metadata"]["resourceVersion"] = str(next(self._versions))
        for plural, queue in self._watches:
            if f"/{plural}/" in path:
                queue.put_nowait({"type": kind, "object": copy.deepcopy(item)})
        return copy.deepcopy(item)

    def of_kind(self, kind: str) -> list[Manifest]:
        """Without those of the gateway."""
        return [item for item in self._all(kind) if item["metadata"]["name"] != GATEWAY_NAME]

    def of_gateway(self, kind: str) -> list[Manifest]:
        return [item for item in self._all(kind) if item["metadata"]["name"] == GATEWAY_NAME]

    def _all(self, kind: str) -> list[Manifest]:
        return [item for item in self.objects.values() if item["kind"] == kind]


class FakeCluster:
    """The operator's own Cluster and informers on a FakeApiServer; `restart` forgets what was in memory."""

    def __init__(self, server: FakeApiServer | None = None, **spec: Any) -> None:
        self.server = server or FakeApiServer()
        self.world = FakeWorld(self.server)
        self.later = timedelta()
        """How far the operator's clock is ahead of ours."""
        self.commit: Resolution = Resolved("c" * 40)
        self.defaults = OperatorDefaults(engine_image="octavo/engine:1", model_root="/srv")
        self._informers: asyncio.Task[None] | None = None
        if server is None:
            self.write_service(**spec)

    def write_service(self, name: str = KEY.name, **spec: Any) -> None:
        manifest = {
            "apiVersion": "serving.octavo.dev/v1alpha1",
            "kind": "InferenceService",
            "metadata": {"namespace": KEY.namespace, "name": name},
            "spec": {"model": {"uri": "file:///a"}} | spec,
        }
        self.server.put(INFERENCE_SERVICES.path(KEY.namespace, name), manifest)

    @property
    def autoscalers(self) -> Autoscalers:
        return self._cluster.autoscalers

    @property
    def service(self) -> Manifest:
        return self.server.objects[INFERENCE_SERVICES.path(*KEY)]

    def condition(self, type_: str) -> tuple[str, str]:
        conditions = {item["type"]: item for item in self.service["status"]["conditions"]}
        return conditions[type_]["status"], conditions[type_]["reason"]

    async def start(self) -> None:
        self._children = Children(self.server, lambda _: None)
        hub = Hub(lambda *_: self.commit, _no_token, lambda _: None)
        self._cluster = Cluster(
            self.server,
            self._children,
            hub,
            self.defaults,
            self.world.ask,
            self.world.ask_traffic,
            clock=lambda: self.later.total_seconds(),
        )  # type: ignore[arg-type]
        self._informers = asyncio.create_task(self._children.run())
        await self._children.synced()

    async def stop(self) -> None:
        if self._informers is not None:
            self._informers.cancel()
            await asyncio.gather(self._informers, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def visit(self, key: ObjectKey = KEY) -> float | None:
        await self.caches_are_current()
        return await reconcile(key, self._cluster, datetime.now(UTC) + self.later, 300.0)

    async def visit_gateway(self) -> list[ObjectKey]:
        """The services that are to be visited because of it."""
        await self.caches_are_current()
        to_visit: list[ObjectKey] = []
        await reconcile_gateway(GatewayKey(KEY.namespace), self._cluster.gateways, to_visit.append, 300.0)
        return to_visit

    async def caches_are_current(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def settle(self, steps: int = 100) -> None:
        """Let the world move on and reconcile, and again, until nothing changes."""
        for _ in range(steps):
            before = len(self.server.writes)
            self.world.later = self.later
            has_moved = self.world.step()
            await self.visit_gateway()
            await self.visit()
            if len(self.server.writes) == before and not has_moved:
                return
        raise AssertionError(f"it does not settle: {self.server.writes}")

    def end_state(self) -> list[tuple[str, str, Any]]:
        """Everything but versions and times."""
        return sorted((item["kind"], _name(item), _still(item)) for item in self.server.objects.values())


def _name(item: Manifest) -> str:
    """Pods have names that nobody can foresee."""
    is_pod = item["kind"] == "Pod"
    return str(item["metadata"]["labels"].get(LABEL_REVISION) if is_pod else item["metadata"]["name"])


@asynccontextmanager
async def cluster(**spec: Any) -> AsyncIterator[FakeCluster]:
    """A FakeCluster that runs for as long as the block; `spec` is the service's."""
    fake = FakeCluster(**spec)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()


def _merged(before: Manifest, change: Manifest) -> Manifest:
    """A JSON merge patch, as in RFC 7386."""
    merged = copy.deepcopy(before)
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name) or {}, value) if isinstance(value, dict) else value
    return merged


def _still(item: Manifest) -> str:
    status = item.get("status", {})
    conditions = [(one["type"], one["status"], one.get("reason")) for one in status.get("conditions", ())]
    annotations = item["metadata"].get("annotations") or None
    return repr((item.get("spec"), item.get("rules"), conditions, annotations))


def is_selected(item: Manifest, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, _, value = term.partition("=")
        if name not in labels or (value and labels[name] != value):
            return False
    return True


async def _no_token(namespace: str, name: str) -> str:
    raise AssertionError("no token was asked for")
