"""The only place that reads services and writes children: observe, execute, apply the status."""

import base64
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from octavo_api.api_server import (
    DEPLOYMENTS,
    EVENTS,
    INFERENCE_SERVICES,
    PODS,
    SECRETS,
    ApiError,
    ApiServer,
    Resource,
)
from octavo_api.errors import InvalidSpec
from octavo_api.model_source import HubModel
from octavo_api.names import (
    ANNOTATION_DELETION_COST,
    ANNOTATION_DRAINING,
    API_VERSION,
    FIELD_MANAGER,
    GATEWAY_NAME,
    KIND,
    LABEL_MANAGED_BY,
    LABEL_SERVICE,
    TOKEN_SECRET_KEY,
)
from octavo_api.service_status import ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.attempts import Attempts, Outcome
from octavo_operator.autoscalers import Autoscalers
from octavo_operator.children import Children
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import EnginePod
from octavo_operator.events import Event, event_manifest
from octavo_operator.gateway_client import AskTraffic
from octavo_operator.gateway_reports import GatewayPod, GatewayReport, running_gateways
from octavo_operator.gateways import Gateways
from octavo_operator.hub import Hub, SecretMissing
from octavo_operator.observed import Manifest, ObjectKey, Observed, OperatorDefaults, Resolution, Resolved
from octavo_operator.ownership import Ownership, ownership
from octavo_operator.plan import Plan
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.render.gateway_token import token_secret_name
from octavo_operator.revision import existing
from octavo_operator.rollout_watch import RolloutWatch
from octavo_operator.work_queue import RetryLater
from octavo_operator.writer import Writer, title

log = logging.getLogger(__name__)

NO_MARKS = {ANNOTATION_DRAINING: None, ANNOTATION_DELETION_COST: None}
TOKEN_BELIEVED_SECONDS = 60.0
"""Visits follow each other closely while something drains; a resync comes later than this, so it looks."""
AskGateways = Callable[[tuple[GatewayPod, ...]], Awaitable[tuple[GatewayReport, ...]]]


class Cluster:
    def __init__(
        self,
        server: ApiServer,
        children: Children,
        hub: Hub,
        defaults: OperatorDefaults,
        ask_gateways: AskGateways,
        ask_traffic: AskTraffic,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._tokens_seen: dict[ObjectKey, tuple[str, float]] = {}
        self._ask_gateways = ask_gateways
        self._server = server
        self._children = children
        self._hub = hub
        self._defaults = defaults
        self._writer = Writer(server, children)
        self._rollouts = RolloutWatch(server, children, ask_traffic)
        self.autoscalers = Autoscalers(server, children, ask_traffic, clock=clock)
        self.gateways = Gateways(children, self._writer, defaults.gateway)

    async def observe(self, key: ObjectKey, now: datetime, *, fresh: bool = False) -> Observed:
        """The service is always read anew; Deployments and pods come from the informers unless `fresh`.

        The gateways are asked when something drains or, with `fresh`, may begin to.
        """
        raw = await self._server.get(INFERENCE_SERVICES, key.namespace, key.name)
        if raw is None:
            self._tokens_seen.pop(key, None)
            self._rollouts.forget(key)
            self.autoscalers.forget(key)
            return Observed(key=key, exists=False)
        service, invalid = _parse(raw)
        metadata = raw["metadata"]
        uid = metadata["uid"]
        standing, pods = self._children.deployments.of(*key), self._children.pods.of(*key)
        if fresh:
            selector = f"{LABEL_SERVICE}={key.name}"
            standing = await self._list(
                DEPLOYMENTS, key.namespace, f"{selector},{LABEL_MANAGED_BY}={FIELD_MANAGER}"
            )
            pods = await self._list(PODS, key.namespace, selector)
        engine_pods = tuple(EnginePod.from_manifest(item) for item in pods)
        reports: tuple[GatewayReport, ...] | None = None
        if fresh or any(pod.draining_since is not None for pod in engine_pods):
            running = running_gateways(self._children.gateway_pods.of(key.namespace, GATEWAY_NAME))
            reports = await self._ask_gateways(running)
        deployments = tuple(
            EngineDeployment.from_manifest(item) for item in standing if _is_ours(item, key.name, uid)
        )
        status = ServiceStatus.from_manifest(raw.get("status") or {})
        others = (*self._children.services.of(*key), *self._children.budgets.of(*key))
        return Observed(
            key=key,
            exists=True,
            uid=uid,
            generation=metadata["generation"],
            deleting="deletionTimestamp" in metadata,
            status=status,
            service=service,
            invalid=invalid,
            resolution=self._resolution(key, service, deployments),
            deployments=deployments,
            others=tuple(item for item in others if _is_ours(item, key.name, uid)),
            pods=engine_pods,
            preflights=self._preflights(key, uid),
            has_token=await self._has_token(key, uid),
            fresh_token=secrets.token_urlsafe(32),
            gateway=self.gateways.observe(key.namespace),
            gateway_reports=reports,
            window=(
                None if service is None else await self._rollouts.window(key, service, status.rollout, now)
            ),
            nodes_are_coming=await self._rollouts.nodes_are_coming(key, engine_pods, now),
            autoscaler=await self.autoscalers.observe(key, raw, service),
            defaults=self._defaults,
        )

    def _preflights(self, key: ObjectKey, uid: str) -> dict[str, PreflightSeen]:
        jobs, pods = self._children.jobs.of(*key), self._children.preflight_pods.of(*key)
        seen = (PreflightSeen.of(job, pods) for job in jobs if _is_ours(job, key.name, uid))
        return {preflight.revision: preflight for preflight in seen}

    async def _has_token(self, key: ObjectKey, uid: str) -> bool:
        """Asked for by name: Secrets are neither listed nor watched. Once seen it is believed for a while."""
        seen_uid, seen_at = self._tokens_seen.get(key, ("", 0.0))
        if seen_uid == uid and self._clock() - seen_at < TOKEN_BELIEVED_SECONDS:
            return True
        secret = await self._server.get(SECRETS, key.namespace, token_secret_name(key.name))
        is_whole = secret is not None and TOKEN_SECRET_KEY in (secret.get("data") or {})
        has_token = secret is not None and is_whole and _is_ours(secret, key.name, uid)
        if has_token:
            self._tokens_seen[key] = uid, self._clock()
        else:
            self._tokens_seen.pop(key, None)
        return has_token

    async def _list(self, resource: Resource, namespace: str, selector: str) -> tuple[Manifest, ...]:
        page = await self._server.list_page(resource, namespace, {"labelSelector": selector})
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
        """Every write is tried, whatever happens to the one before.

        The token comes before the pods that mount it. Marks come before replicas are lowered, and go after
        they are raised, so that a ReplicaSet that acts in between takes the right pod.
        """
        key, attempts, writer = observed.key, Attempts(), self._writer
        whose = partial(ownership, service_name=key.name, service_uid=observed.uid)
        for reason in todo.reasons:
            log.info("%s: %s", key, reason)
        for manifest in todo.create:
            await attempts.make(title(manifest), writer.create_secret(manifest, whose))
        for item in todo.marks:
            marks = writer.annotate(key.namespace, item.pod, item.annotations)
            await attempts.make(f"Pod {item.pod.name}", marks)
        for manifest in todo.autoscaler.remove:
            await attempts.make(title(manifest), writer.remove(manifest))
        for manifest in todo.apply:
            await attempts.make(title(manifest), writer.apply(manifest, whose))
        for change in todo.scale:
            scaling = writer.scale(key.namespace, change.deployment, change.replicas)
            await attempts.make(f"Deployment {change.deployment.name}", scaling)
        for pod in todo.call_back:
            await attempts.make(f"Pod {pod.name}", writer.annotate(key.namespace, pod, NO_MARKS))
        for deployment in todo.delete:
            await attempts.make(f"Deployment {deployment.name}", writer.delete(key.namespace, deployment))
        for preflight in todo.spent_preflights:
            await attempts.make(f"Job {preflight.name}", writer.delete_preflight(key.namespace, preflight))
        if (replicas := todo.autoscaler.replicas) is not None:
            scaling = writer.scale_service(key, observed.uid, observed.autoscaler.version, replicas)
            await attempts.make(f"InferenceService {key.name}", scaling)
        outcome = attempts.outcome
        if outcome == Outcome():
            await self.tell(observed, todo.events)
        return outcome

    async def tell(self, observed: Observed, events: Sequence[Event]) -> None:
        """Events are news and no state: one that cannot be written is not worth a second try."""
        for event in events:
            manifest = event_manifest(event, observed.key, observed.uid, datetime.now(UTC))
            try:
                await self._server.create(EVENTS, observed.key.namespace, manifest)
            except ApiError as error:
                log.warning("%s: no event %s: %s", observed.key, event.reason, error)

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
        written = await self._server.apply(path, body, field_manager=FIELD_MANAGER)
        if status.rollout is not None and "rollout" not in (written.get("status") or {}):
            # What a rollout remembers would be decided, and forgotten, again and again.
            raise RetryLater("the CRD is older than this operator; apply it: kubectl apply -k crds", 30.0)


def _parse(raw: Manifest) -> tuple[InferenceService | None, str]:
    try:
        return InferenceService.from_manifest(raw), ""
    except InvalidSpec as error:
        return None, str(error)


def _is_ours(item: Manifest, service_name: str, service_uid: str) -> bool:
    return ownership(item, service_name=service_name, service_uid=service_uid) is Ownership.OURS


async def why_not_served(server: ApiServer, namespace: str | None) -> str | None:
    """None when InferenceServices can be listed; else a sentence with the remedy."""
    try:
        await server.list_page(INFERENCE_SERVICES, namespace, {"limit": "1"})
    except ApiError as error:
        match error.status:
            case 404:
                return "there is no CRD of InferenceServices yet: kubectl apply -k crds"
            case 403:
                return f"the operator may not list InferenceServices, apply its roles: {error.message}"
            case _:
                return f"InferenceServices cannot be listed: {error}"
    return None


async def read_token(server: ApiServer, namespace: str, name: str) -> str:
    """The Hugging Face token in that one Secret."""
    secret: dict[str, Any] | None = await server.get(SECRETS, namespace, name)
    if secret is None:
        raise SecretMissing(f"Secret {name} of spec.model.secretRef is not there; make it with the key token")
    encoded = (secret.get("data") or {}).get(TOKEN_SECRET_KEY)
    if not encoded:
        raise SecretMissing(f"Secret {name} of spec.model.secretRef has no key token; add it")
    return base64.b64decode(encoded).decode().strip()
