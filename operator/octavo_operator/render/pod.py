"""The pod template of an engine: the restricted Pod Security level, and where it may run."""

from octavo_api.names import ENGINE_UID
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest, OperatorDefaults
from octavo_operator.render.container import GRACE_MARGIN_SECONDS, container, drain_seconds
from octavo_operator.render.metadata import child_labels
from octavo_operator.render.volumes import volumes

PRODUCT_LABEL = "nvidia.com/gpu.product"


def pod_template(service: InferenceService, commit: str | None, defaults: OperatorDefaults) -> Manifest:
    """Without the revision's label, because the revision is the hash of this."""
    image = service.engine.image or defaults.engine_image
    metadata: Manifest = {"labels": {**service.pod.labels, **child_labels(service)}}
    if service.pod.annotations:
        metadata["annotations"] = dict(service.pod.annotations)
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": ENGINE_UID,
            "runAsGroup": ENGINE_UID,
            "fsGroup": ENGINE_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": drain_seconds(service) + GRACE_MARGIN_SECONDS,
        "containers": [container(service, image, commit, defaults)],
        "volumes": volumes(service, defaults.model_root),
    }
    return {"metadata": metadata, "spec": spec | _placement(service)}


def _placement(service: InferenceService) -> Manifest:
    pod = service.pod
    placement: Manifest = {
        "nodeSelector": _node_selector(service),
        "tolerations": _tolerations(service),
        "affinity": dict(pod.affinity),
        "topologySpreadConstraints": [dict(constraint) for constraint in pod.topology_spread_constraints],
        "priorityClassName": pod.priority_class_name,
        "serviceAccountName": pod.service_account_name,
        "imagePullSecrets": [{"name": name} for name in pod.image_pull_secrets],
        "runtimeClassName": pod.runtime_class_name,
    }
    return {name: value for name, value in placement.items() if value}


def _node_selector(service: InferenceService) -> dict[str, str]:
    selector = dict(service.pod.node_selector)
    if service.accelerator is not None and service.accelerator.product:
        selector[PRODUCT_LABEL] = service.accelerator.product
    return selector


def _tolerations(service: InferenceService) -> list[Manifest]:
    """Nodes with accelerators are commonly tainted with the resource's name."""
    tolerations = [dict(toleration) for toleration in service.pod.tolerations]
    if service.accelerator is not None:
        key = service.accelerator.resource_name
        tolerations.append({"key": key, "operator": "Exists", "effect": "NoSchedule"})
    return tolerations
