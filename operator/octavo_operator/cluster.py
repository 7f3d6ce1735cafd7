"""The only place that reads services and writes children: observe, execute, apply the status."""

import base64
import logging
import secrets
from functools import partial
from typing import Any

from octavo_api.api_server import DEPLOYMENTS, INFERENCE_SERVICES, SECRETS, ApiError, ApiServer
from octavo_api.errors import InvalidSpec
from octavo_api.model_source import HubModel
from octavo_api.names import (
    API_VERSION,
    FIELD_MANAGER,
    KIND,
    LABEL_MANAGED_BY,
    LABEL_SERVICE,
    TOKEN_SECRET_KEY,
)
from octavo_api.service_status import ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.children import Children
from octavo_operator.gateways import Gateways
from octavo_operator.hub import Hub, SecretMissing
from octavo_operator.observed import (
    EngineDeployment,
    EnginePod,
    Manifest,
    ObjectKey,
    Observed,
    OperatorDefaults,
    Resolution,
    Resolved,
)
from octavo_operator.ownership import Ownership, ownership
from octavo_operator.plan import Plan
from octavo_operator.render.gateway_token import token_secret_name
from octavo_operator.revision import existing
from octavo_operator.writer import Outcome, Writer

log = logging.getLogger(__name__)


class Cluster:
    def __init__(self, server: ApiServer, children: Children, hub: Hub, defaults: OperatorDefaults) -> None:
        self._server = server
        self._children = children
        self._hub = hub
        self._defaults = defaults
        self._writer = Writer(server, children)
        self.gateways = Gateways(children, self._writer, defaults.gateway)

    async def observe(self, key: ObjectKey, *, fresh: bool = False) -> Observed:
        """The service itself is always read anew; the children come from the informers unless `fresh`."""
        raw = await self._server.get(INFERENCE_SERVICES, key.namespace, key.name)
        if raw is None:
            return Observed(key=key, exists=False)
        service, invalid = _parse(raw)
        metadata = raw["metadata"]
        uid = metadata["uid"]
        standing = await self._list_deployments(key) if fresh else self._children.deployments.of(*key)
        deployments = tuple(
            EngineDeployment.from_manifest(item) for item in standing if _is_ours(item, key.name, uid)
        )
        others = (*self._children.services.of(*key), *self._children.budgets.of(*key))
        return Observed(
            key=key,
            exists=True,
            uid=uid,
            generation=metadata["generation"],
            deleting="deletionTimestamp" in metadata,
            status=ServiceStatus.from_manifest(raw.get("status") or {}),
            service=service,
            invalid=invalid,
            resolution=self._resolution(key, service, deployments),
            deployments=deployments,
            others=tuple(item for item in others if _is_ours(item, key.name, uid)),
            pods=tuple(EnginePod.from_manifest(item) for item in self._children.pods.of(*key)),
            has_token=await self._has_token(key, uid),
            fresh_token=secrets.token_urlsafe(32),
            gateway=self.gateways.observe(key.namespace),
            defaults=self._defaults,
        )

    async def _has_token(self, key: ObjectKey, uid: str) -> bool:
        """Asked for by name: Secrets are neither listed nor watched."""
        secret = await self._server.get(SECRETS, key.namespace, token_secret_name(key.name))
        is_whole = secret is not None and TOKEN_SECRET_KEY in (secret.get("data") or {})
        return secret is not None and is_whole and _is_ours(secret, key.name, uid)

    async def _list_deployments(self, key: ObjectKey) -> tuple[Manifest, ...]:
        selector = f"{LABEL_SERVICE}={key.name},{LABEL_MANAGED_BY}={FIELD_MANAGER}"
        page = await self._server.list_page(DEPLOYMENTS, key.namespace, {"labelSelector": selector})
        return tuple(page["items"])

    def _resolution(
        self, key: ObjectKey, service: InferenceService | None, deployments: tuple[EngineDeployment, ...]
    ) -> Resolution:
        """Only a new revision needs the hub: what runs keeps its commit."""
        if service is None or not isinstance(service.model.source, HubModel):
            return Resolved()
        if (revision := existing(service, deployments)) is not None:
            return Resolved(revision.commit)
        return self._hub.look(key, service.model.source, service.model.secret_name)

    async def execute(self, observed: Observed, todo: Plan) -> Outcome:
        """Every child is tried, whatever happens to the one before."""
        whose = partial(ownership, service_name=observed.key.name, service_uid=observed.uid)
        outcome = await self._writer.write(observed.key, whose, create=todo.create, apply=todo.apply)
        for deployment in todo.delete:
            uid = deployment.manifest["metadata"]["uid"]
            await self._server.delete(DEPLOYMENTS, observed.key.namespace, deployment.name, uid=uid)
            log.info("%s: deleted Deployment %s: its revision is replaced", observed.key, deployment.name)
        return outcome

    async def apply_status(self, observed: Observed, status: ServiceStatus) -> None:
        """Writes on change only."""
        if status == observed.status:
            return
        key = observed.key
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"namespace": key.namespace, "name": key.name, "uid": observed.uid},
            "status": status.to_manifest(),
        }
        path = INFERENCE_SERVICES.path(key.namespace, key.name, "status")
        await self._server.apply(path, body, field_manager=FIELD_MANAGER)


def _parse(raw: Manifest) -> tuple[InferenceService | None, str]:
    try:
        return InferenceService.from_manifest(raw), ""
    except InvalidSpec as error:
        return None, str(error)


def _is_ours(item: Manifest, service_name: str, service_uid: str) -> bool:
    return ownership(item, service_name=service_name, service_uid=service_uid) is Ownership.OURS


async def is_served(server: ApiServer) -> bool:
    """Whether the CRD is installed, and the API server there to say so."""
    try:
        await server.list_page(INFERENCE_SERVICES, None, {"limit": "1"})
    except ApiError as error:
        if error.status in (0, 404, 429) or error.status >= 500:
            return False
        raise
    return True


async def read_token(server: ApiServer, namespace: str, name: str) -> str:
    """The Hugging Face token in that one Secret."""
    secret: dict[str, Any] | None = await server.get(SECRETS, namespace, name)
    if secret is None:
        raise SecretMissing(f"Secret {name} of spec.model.secretRef is not there; make it with the key token")
    encoded = (secret.get("data") or {}).get(TOKEN_SECRET_KEY)
    if not encoded:
        raise SecretMissing(f"Secret {name} of spec.model.secretRef has no key token; add it")
    return base64.b64decode(encoded).decode().strip()
