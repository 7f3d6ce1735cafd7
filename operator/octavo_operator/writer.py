"""Single writes to a cluster, never over somebody else's object. What a failed one means is in attempts."""

from collections.abc import Callable, Mapping

from octavo_api.api_server import (
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    JOBS,
    PODS,
    SCALED_OBJECTS,
    SECRETS,
    ApiServer,
)
from octavo_api.names import FIELD_MANAGER, TOKEN_SECRET_KEY, Reason
from octavo_operator.attempts import Refused
from octavo_operator.children import Children
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import EnginePod
from octavo_operator.observed import Manifest, ObjectKey
from octavo_operator.ownership import Ownership
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.work_queue import RetryLater

Whose = Callable[[Manifest], Ownership]


class Writer:
    """All methods raise ApiError; those that take `whose` also Refused and RetryLater."""

    def __init__(self, server: ApiServer, children: Children) -> None:
        self._server = server
        self._children = children

    async def create_secret(self, manifest: Manifest, whose: Whose) -> None:
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if (live := await self._server.get(SECRETS, namespace, name)) is not None:
            _require_ours(live, whose)
            raise Refused(
                Reason.SECRET_NOT_FOUND,
                f"its key {TOKEN_SECRET_KEY} is gone; delete the Secret, and the operator makes it anew",
            )
        await self._server.create(SECRETS, namespace, manifest)

    async def apply(self, manifest: Manifest, whose: Whose) -> None:
        kind, metadata = manifest["kind"], manifest["metadata"]
        # KEDA's kind may not exist, so that nothing watches it.
        informer = None if kind == SCALED_OBJECTS.kind else self._children.of_kind(kind)
        resource = SCALED_OBJECTS if informer is None else informer.resource
        namespace, name = metadata["namespace"], metadata["name"]
        live = None if informer is None else informer.get(namespace, name)
        live = live or await self._server.get(resource, namespace, name)
        if live is not None:
            _require_ours(live, whose)
            # With the uid nobody else's object can slip in between the look and the write.
            metadata = {**metadata, "uid": live["metadata"]["uid"]}
        written = await self._server.apply(
            resource.path(namespace, name),
            {**manifest, "metadata": metadata},
            field_manager=FIELD_MANAGER,
        )
        if informer is not None:
            informer.remember(written)

    async def annotate(self, namespace: str, pod: EnginePod, annotations: Mapping[str, str | None]) -> None:
        """None takes an annotation away."""
        body = {"metadata": {"uid": pod.uid, "annotations": dict(annotations)}}
        written = await self._server.merge(PODS.path(namespace, pod.name), body, field_manager=FIELD_MANAGER)
        self._children.pods.remember(written)

    async def scale(self, namespace: str, deployment: EngineDeployment, replicas: int) -> None:
        body = {"metadata": {"uid": deployment.uid}, "spec": {"replicas": replicas}}
        path = DEPLOYMENTS.path(namespace, deployment.name)
        self._children.deployments.remember(await self._server.merge(path, body, field_manager=FIELD_MANAGER))

    async def delete(self, namespace: str, deployment: EngineDeployment) -> None:
        await self._server.delete(DEPLOYMENTS, namespace, deployment.name, uid=deployment.uid)

    async def delete_preflight(self, namespace: str, preflight: PreflightSeen) -> None:
        """With its pods."""
        await self._server.delete(JOBS, namespace, preflight.name, uid=preflight.uid)

    async def remove(self, manifest: Manifest) -> None:
        """An autoscaler that was seen in the cluster."""
        metadata = manifest["metadata"]
        is_keda = manifest["kind"] == SCALED_OBJECTS.kind
        resource = SCALED_OBJECTS if is_keda else self._children.of_kind(manifest["kind"]).resource
        await self._server.delete(resource, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    async def scale_service(self, key: ObjectKey, uid: str, version: str, replicas: int) -> None:
        """Of the InferenceService itself, as `kubectl scale` does; of no other version than the one seen."""
        body = {"metadata": {"uid": uid, "resourceVersion": version}, "spec": {"replicas": replicas}}
        path = INFERENCE_SERVICES.path(key.namespace, key.name, "scale")
        await self._server.merge(path, body, field_manager=FIELD_MANAGER)


def title(manifest: Manifest) -> str:
    """As in "Service demo"."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _require_ours(live: Manifest, whose: Whose) -> None:
    match whose(live):
        case Ownership.FOREIGN:
            raise Refused(
                Reason.NAME_TAKEN,
                "an object of this name exists and is not ours; delete or rename it, "
                "or give the InferenceService another name",
            )
        case Ownership.LEFTOVER:
            raise RetryLater(f"{title(live)} of a deleted namesake is being collected", 2.0)
