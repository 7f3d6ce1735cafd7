"""Small InferenceServices, Deployments and pods for the operator's tests."""

from datetime import UTC, datetime
from typing import Any

from octavo_api.names import (
    ANNOTATION_DELETION_COST,
    ANNOTATION_DRAINING,
    DELETION_COST_DRAINING,
    DELETION_COST_RELEASED,
    LABEL_REVISION,
    LABEL_SERVICE,
)
from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.drift import stamped
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import EnginePod
from octavo_operator.gateway_seen import GatewaySeen, Neighbour
from octavo_operator.observed import Manifest, ObjectKey, Observed, OperatorDefaults, Resolved
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.render.deployment import deployment as render_deployment
from octavo_operator.render.pod import pod_template
from octavo_operator.render.preflight import preflight_job
from octavo_operator.revision import Revision, inputs_of

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
BEFORE = datetime(2026, 11, 1, 11, 0, tzinfo=UTC)
DEFAULTS = OperatorDefaults(engine_image="octavo/engine:1", model_root="/srv/models")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def raw_service(generation: int = 1, **spec: Any) -> Manifest:
    return {
        "apiVersion": "serving.octavo.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"namespace": "team", "name": "demo", "uid": "service-uid", "generation": generation},
        "spec": {"model": {"uri": "hf://org/name"}} | spec,
    }


def service(**spec: Any) -> InferenceService:
    return InferenceService.from_manifest(raw_service(**spec))


def revision(of: InferenceService, commit: str | None = COMMIT) -> Revision:
    return Revision(
        inputs=inputs_of(of),
        image=of.engine.image or DEFAULTS.engine_image,
        uri=of.model.uri,
        commit=commit,
        template=pod_template(of, commit, DEFAULTS),
    )


def live(manifest: Manifest, created: datetime = BEFORE, **status: Any) -> Manifest:
    metadata = {
        "uid": f"uid-{manifest['metadata']['name']}",
        "generation": 1,
        "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {
        **manifest,
        "metadata": {**manifest["metadata"], **metadata},
        "status": {"observedGeneration": 1} | status,
    }


def deployment(
    of: InferenceService, *, ready: int = 0, replicas: int = 1, created: datetime = BEFORE, **status: Any
) -> EngineDeployment:
    counts = {
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    manifest = stamped(render_deployment(of, revision(of), replicas))
    return EngineDeployment.from_manifest(live(manifest, created, **(counts | status)))


def raw_pod(of_revision: str, *, name: str = "demo-x", ready: bool = False, **container: Any) -> Manifest:
    """`container` is the state of the engine's container status, e.g. state=..., lastState=..."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": f"uid-{name}",
            "labels": {LABEL_SERVICE: "demo", LABEL_REVISION: of_revision},
            "creationTimestamp": "2026-11-01T11:30:00Z",
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "engine", "restartCount": 0} | container],
        },
    }


def pod(
    of_revision: str, *, draining: datetime | None = None, released: bool = False, **fields: Any
) -> EnginePod:
    raw = raw_pod(of_revision, **fields)
    if draining is not None:
        cost = DELETION_COST_RELEASED if released else DELETION_COST_DRAINING
        raw["metadata"]["annotations"] = {
            ANNOTATION_DRAINING: draining.isoformat(),
            ANNOTATION_DELETION_COST: str(cost),
        }
    return EnginePod.from_manifest(raw)


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    """A container state."""
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


def neighbour(name: str = "demo", **fields: Any) -> Neighbour:
    created = {"uid": f"uid-{name}", "created": "2026-11-01T11:00:00Z", "served_names": (name,)}
    return Neighbour(name=name, **{**created, **fields})


def gateway_seen(*neighbours: Neighbour, available: int = 2, **fields: Any) -> GatewaySeen:
    """A gateway that takes requests; by default for the service "demo" alone."""
    deployment = {
        "kind": "Deployment",
        "metadata": {"namespace": "team", "name": "octavo-gateway"},
        "status": {"availableReplicas": available},
    }
    seen = {"namespace": "team", "neighbours": neighbours or (neighbour(),), "objects": (deployment,)}
    return GatewaySeen(**{**seen, **fields})


def completed(of: InferenceService, **fields: Any) -> RolloutRecord:
    """What a status remembers of a rollout that is over."""
    name = revision(of).hash8
    times = {"started_at": "2026-11-01T11:00:00Z"}
    return RolloutRecord(**{"revision": name, "stable": name, **times, **fields})


def passed(of: InferenceService, commit: str | None = COMMIT) -> dict[str, PreflightSeen]:
    """The preflight of its revision, as an Observed has it."""
    wanted = revision(of, commit)
    job = live(preflight_job(of, wanted), conditions=[{"type": "Complete", "status": "True"}])
    return {wanted.hash8: PreflightSeen(job)}


def observed(of: InferenceService, **fields: Any) -> Observed:
    return Observed(
        **{
            "key": ObjectKey("team", "demo"),
            "exists": True,
            "uid": "service-uid",
            "generation": of.generation,
            "service": of,
            "resolution": Resolved(COMMIT),
            "has_token": True,
            "gateway": gateway_seen(),
            "defaults": DEFAULTS,
            **fields,
        }
    )
