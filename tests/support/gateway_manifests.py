"""What the API server holds of a namespace, as the gateway sees it."""

import base64
from typing import Any

from octavo_api.spec import InferenceService
from octavo_gateway.known_service import KnownService
from octavo_gateway.pod_view import PodView

Manifest = dict[str, Any]
READY_SINCE = "2026-11-01T12:00:00Z"


def raw_service(
    name: str, *, created: str = "2026-11-01T10:00:00Z", revisions: dict[str, int] | None = None, **spec: Any
) -> Manifest:
    """`revisions`: name -> weight."""
    status = [
        {"name": revision, "weightPercent": weight, "replicas": 1, "readyReplicas": 1}
        for revision, weight in (revisions or {}).items()
    ]
    return {
        "apiVersion": "serving.octavo.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {
            "namespace": "n",
            "name": name,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": created,
        },
        "spec": {"model": {"uri": "hf://org/name"}, **spec},
        "status": {"revisions": status},
    }


def known(name: str, **spec: Any) -> KnownService:
    return KnownService.of(InferenceService.from_manifest(raw_service(name, **spec)))


def raw_pod(
    name: str,
    *,
    service: str = "demo",
    revision: str = "rev1",
    ip: str = "10.0.0.1",
    ready: str = "True",
    app: str = "octavo-engine",
    annotations: dict[str, str] | None = None,
    deleting: bool = False,
) -> Manifest:
    labels = {"app.kubernetes.io/name": app}
    if app == "octavo-engine":
        labels |= {"serving.octavo.dev/service": service, "serving.octavo.dev/revision": revision}
    metadata: Manifest = {"namespace": "n", "name": name, "uid": f"uid-{name}", "labels": labels}
    if annotations is not None:
        metadata["annotations"] = annotations
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-01T13:00:00Z"
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": READY_SINCE}]
    status = {"conditions": conditions, **({"podIP": ip} if ip else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def pod(name: str, **given: Any) -> PodView:
    return PodView.from_manifest(raw_pod(name, **given))


def raw_secret(name: str, **entries: str) -> Manifest:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": "n", "name": name},
        "data": data,
    }
