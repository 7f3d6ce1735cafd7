"""What trust between the API server and the metrics API rests on, kept in the cluster for all replicas.

A Secret holds the serving certificate, the APIService the CA that signed it. Both are looked at again and
again: whoever takes them away or restores an old state finds them mended a moment later.
"""

import base64
import binascii
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from octavo_api.api_server import SECRETS, ApiError, Manifest, Resource
from octavo_api.names import FIELD_MANAGER, LABEL_MANAGED_BY, METRICS_API_NAME
from octavo_operator.metrics_api.certificate import ServingCertificate, bundle_with, fault, make
from octavo_operator.metrics_api.documents import GROUP, VERSION
from octavo_operator.metrics_api.front_proxy import CONFIG_MAP, FrontProxy
from octavo_operator.metrics_api.front_proxy import NAMESPACE as FRONT_PROXY_NAMESPACE

log = logging.getLogger(__name__)

API_SERVICES: Final = Resource("apiregistration.k8s.io/v1", "APIService", "apiservices")
CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
API_SERVICE_NAME: Final = f"{VERSION}.{GROUP}"
_KEYS: Final = ("ca.crt", "tls.crt", "tls.key")


class Server(Protocol):
    """The part of ApiServer that is used here."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None: ...

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest: ...

    async def merge(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest: ...

    async def request(self, method: str, path: str) -> Manifest: ...


class NotRegistered(Exception):
    """The API server does not come to us for metrics; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that a listener depends on: equal ones need no new listener."""

    serving: ServingCertificate
    front_proxy: FrontProxy


class CredentialKeeper:
    def __init__(self, server: Server, namespace: str) -> None:
        self._server = server
        self._namespace = namespace

    async def current(self, now: datetime) -> Credentials:
        """Makes what is missing and renews what ends soon. Raises ApiError and NoFrontProxy."""
        config_map = await self._server.get(CONFIG_MAPS, FRONT_PROXY_NAMESPACE, CONFIG_MAP)
        front_proxy = FrontProxy.from_config_map(config_map)
        return Credentials(await self._serving(now), front_proxy)

    async def register(self, serving: ServingCertificate, now: datetime) -> bool:
        """Has the API server trust the certificate's CA; whether it had to be told.

        Raises ApiError and NotRegistered.
        """
        try:
            return await self._register(serving, now)
        except ApiError as error:
            if error.status != 409:
                raise
            # Written between the look and the write, probably by another replica and to the same end.
            return await self._register(serving, now)

    async def _register(self, serving: ServingCertificate, now: datetime) -> bool:
        path = API_SERVICES.path(None, API_SERVICE_NAME)
        try:
            found = await self._server.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            raise NotRegistered(
                f"APIService {API_SERVICE_NAME} is not there; apply manifests/metrics-api"
            ) from error
        self._require_ours(found["spec"].get("service"))
        bundle = _decoded(found["spec"].get("caBundle") or "")
        wanted = bundle_with(serving.ca, bundle, now)
        if wanted == bundle:
            return False
        log.info("APIService %s: trust the CA of Secret %s", API_SERVICE_NAME, METRICS_API_NAME)
        body = {
            "metadata": _same_version(found),
            "spec": {"caBundle": base64.b64encode(wanted.encode()).decode()},
        }
        await self._server.merge(path, body, field_manager=FIELD_MANAGER)
        return True

    def _require_ours(self, service: Mapping[str, Any] | None) -> None:
        named = (service or {}).get("namespace"), (service or {}).get("name")
        if named == (self._namespace, METRICS_API_NAME):
            return
        whose = f"Service {named[0]}/{named[1]}" if service else "the API server itself"
        raise NotRegistered(
            f"APIService {API_SERVICE_NAME}, of which a cluster has one, belongs to {whose}; for Octavo's "
            "metrics delete it and apply manifests/metrics-api, for the other's set OCTAVO_METRICS_API=false"
        )

    async def _serving(self, now: datetime) -> ServingCertificate:
        """Another replica may do the same at the same time: the first write stands, the other reads it."""
        found = await self._server.get(SECRETS, self._namespace, METRICS_API_NAME)
        reason = "it is not there"
        if found is not None:
            held = _from_secret(found)
            reason = fault(held, self._namespace, now)
            if not reason:
                return held
        log.info("Secret %s: make a certificate: %s", METRICS_API_NAME, reason)
        made = make(self._namespace, now)
        try:
            await self._write(made, found)
        except ApiError as error:
            # 404: it was deleted between the look and the write.
            if error.status not in (404, 409):
                raise
            return await self._of_another_replica(now)
        return made

    async def _write(self, made: ServingCertificate, found: Manifest | None) -> None:
        texts = dict(zip(_KEYS, (made.ca, made.certificate, made.key), strict=True))
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        if found is not None:
            path = SECRETS.path(self._namespace, METRICS_API_NAME)
            body = {"metadata": _same_version(found), "data": data}
            await self._server.merge(path, body, field_manager=FIELD_MANAGER)
            return
        manifest = {
            "apiVersion": SECRETS.api_version,
            "kind": SECRETS.kind,
            "metadata": {
                "name": METRICS_API_NAME,
                "namespace": self._namespace,
                "labels": {LABEL_MANAGED_BY: FIELD_MANAGER},
            },
            "type": "kubernetes.io/tls",
            "data": data,
        }
        await self._server.create(SECRETS, self._namespace, manifest)

    async def _of_another_replica(self, now: datetime) -> ServingCertificate:
        found = await self._server.get(SECRETS, self._namespace, METRICS_API_NAME)
        held = _from_secret(found or {})
        if reason := fault(held, self._namespace, now):
            raise ApiError(409, "Conflict", f"Secret {METRICS_API_NAME} was written meanwhile, and {reason}")
        return held


def _same_version(found: Manifest) -> dict[str, str]:
    """Of a merge patch: nothing but what was looked at is changed."""
    metadata = found["metadata"]
    return {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}


def _from_secret(secret: Manifest) -> ServingCertificate:
    data = secret.get("data") or {}
    ca, certificate, key = (_decoded(data.get(name) or "") for name in _KEYS)
    return ServingCertificate(ca=ca, certificate=certificate, key=key)


def _decoded(text: str) -> str:
    """Empty for what is no text: it is as good as not there."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
