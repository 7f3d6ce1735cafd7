"""The manifests that stories apply, and how they read a cluster's state."""

from typing import Any

import install
from kubectl import Kubectl, condition

CLIENT = "client"
MODELS_CLAIM = "models"
HUB_REPO = "octavo/tiny-llama"
"""The one repository of the hub that a story may have, private, and the token that opens it."""
HUB_TOKEN = "hf_story"


def inference_service(name: str, uri: str, **spec: Any) -> dict[str, Any]:
    model = {"uri": uri, "dtype": "FP32", **spec.pop("model", {})}
    return {
        "apiVersion": "serving.octavo.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {
            "model": model,
            "resources": {"cpu": "100m", "memory": "1Gi"},
            "drain": {"timeoutSeconds": 20, "endpointPropagationSeconds": 1},
            **spec,
        },
    }


def models_claim(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A volume over this machine's folder of models, and the namespace's claim to it."""
    size = {"storage": "1Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": namespace},
        "spec": {
            "capacity": size,
            "accessModes": ["ReadOnlyMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": str(install.MODELS)},
            "claimRef": {"namespace": namespace, "name": MODELS_CLAIM},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": namespace, "name": MODELS_CLAIM},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "volumeName": namespace,
            "resources": {"requests": size},
        },
    }
    return volume, claim


def client_pod() -> dict[str, Any]:
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    container = {
        "name": CLIENT,
        "image": install.CLIENT_IMAGE,
        "command": ["sleep", "infinity"],
        "securityContext": restricted,
    }
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": CLIENT},
        "spec": {
            "containers": [container],
            "securityContext": security,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
        },
    }


def hub_pod(model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pod with the ConfigMap `hub` as its program, serving that model of the claim as HUB_REPO."""
    pod = client_pod()
    pod["metadata"] = {"name": "hub", "labels": {"app": "hub"}}
    container = pod["spec"]["containers"][0]
    container["command"] = ["python3", "/program/hub_server.py", "--root", "/hub", "--host", "0.0.0.0"]
    container["command"] += ["--port", "8080", "--token", HUB_TOKEN]
    container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    container["volumeMounts"] = [
        {"name": "program", "mountPath": "/program"},
        {"name": "models", "mountPath": f"/hub/{HUB_REPO}", "subPath": model, "readOnly": True},
    ]
    pod["spec"]["volumes"] = [
        {"name": "program", "configMap": {"name": "hub"}},
        {"name": "models", "persistentVolumeClaim": {"claimName": MODELS_CLAIM, "readOnly": True}},
    ]
    ports = [{"port": 80, "targetPort": 8080}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "hub"},
        "spec": {"selector": {"app": "hub"}, "ports": ports},
    }
    return pod, service


def condition_of(kubectl: Kubectl, name: str, kind: str) -> dict[str, Any]:
    """The service's condition of that type, or an empty one."""
    return condition(kubectl.get("infsvc", name), kind)


def engines_of(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    return kubectl.items("pods", "-l", f"serving.octavo.dev/service={name}")


def is_settled(kubectl: Kubectl, name: str, replicas: int) -> bool:
    """The service is Ready as it is written now, with that many pods and no others."""
    service = kubectl.get("infsvc", name)
    ready = condition(service, "Ready")
    return (
        ready.get("status") == "True"
        and ready.get("observedGeneration") == service["metadata"]["generation"]
        and service["spec"]["replicas"] == replicas
        and len(engines_of(kubectl, name)) == replicas
    )


def state_of(kubectl: Kubectl) -> str:
    asked = [
        ("get", "infsvc,deployments,replicasets,jobs,pods,services,pdb", "-o", "wide"),
        ("get", "infsvc", "-o", "yaml"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("logs", "-l", "app.kubernetes.io/name=octavo-engine", "--tail=40", "--prefix"),
        ("-n", "octavo-system", "logs", "-l", "app.kubernetes.io/name=octavo-operator", "--tail=60"),
    ]
    return "\n".join(f"$ kubectl {' '.join(each)}\n{kubectl(*each, check=False).stdout}" for each in asked)
