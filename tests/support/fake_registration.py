"""The objects that the metrics API keeps its credentials in; the API server says who came too late."""

import asyncio
import base64
import json
from collections.abc import Callable

from octavo_api.api_server import SECRETS, ApiError, Manifest, Resource
from octavo_operator.metrics_api.credentials import API_SERVICE_NAME, API_SERVICES, CONFIG_MAPS
from octavo_operator.metrics_api.front_proxy import FrontProxy

OURS = {"namespace": "octavo-system", "name": "octavo-metrics-api"}
SECRET = SECRETS.path("octavo-system", "octavo-metrics-api")
API_SERVICE = API_SERVICES.path(None, API_SERVICE_NAME)
CONFIG_MAP = CONFIG_MAPS.path("kube-system", "extension-apiserver-authentication")
FRONT_PROXY = FrontProxy("-----BEGIN CERTIFICATE-----", frozenset({"front"}))


class FakeRegistration:
    def __init__(self, service: dict[str, str] | None = OURS, front_proxy: FrontProxy = FRONT_PROXY) -> None:
        self.objects: dict[str, Manifest] = {}
        self.writes: list[str] = []
        self.before_write: Callable[[], None] = lambda: None
        self.put_front_proxy(front_proxy)
        self._put(API_SERVICE, {"metadata": {}, "spec": {"service": service}})

    def put_front_proxy(self, front_proxy: FrontProxy) -> None:
        data = {
            "requestheader-client-ca-file": front_proxy.ca_pem,
            "requestheader-allowed-names": json.dumps(sorted(front_proxy.allowed_names)),
        }
        self._put(CONFIG_MAP, {"metadata": {}, "data": data})

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        found = self.objects.get(resource.path(namespace, name))
        await asyncio.sleep(0)  # others look and write meanwhile
        return found

    async def request(self, method: str, path: str) -> Manifest:
        found = self.objects.get(path)
        await asyncio.sleep(0)
        if found is None:
            raise ApiError(404, "NotFound", path)
        return found

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        await asyncio.sleep(0)
        self._meanwhile()
        path = resource.path(namespace, manifest["metadata"]["name"])
        if path in self.objects:
            raise ApiError(409, "AlreadyExists", path)
        self.writes.append(f"create {path}")
        return self._put(path, manifest)

    async def merge(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        await asyncio.sleep(0)
        self._meanwhile()
        before = self.objects.get(path)
        if before is None:
            raise ApiError(404, "NotFound", path)
        if any(before["metadata"][name] != manifest["metadata"][name] for name in ("uid", "resourceVersion")):
            raise ApiError(409, "Conflict", path)
        self.writes.append(f"merge {path}")
        part = "spec" if "spec" in manifest else "data"
        return self._put(path, {**before, part: {**(before.get(part) or {}), **manifest[part]}})

    def _meanwhile(self) -> None:
        happens, self.before_write = self.before_write, lambda: None
        happens()

    def _put(self, path: str, manifest: Manifest) -> Manifest:
        version = str(len(self.writes))
        metadata = {"uid": "u", **manifest["metadata"], "resourceVersion": version}
        self.objects[path] = {**manifest, "metadata": metadata}
        return self.objects[path]

    @property
    def bundle(self) -> str:
        return base64.b64decode(self.objects[API_SERVICE]["spec"].get("caBundle", "")).decode()
