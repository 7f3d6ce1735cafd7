"""The manifests of a namespace's gateway, whole."""

from typing import Any

from operator_builders import gateway_seen, neighbour

from octavo_operator.observed import GatewayDefaults
from octavo_operator.render.gateway import gateway_children
from octavo_operator.render.gateway_access import secret_names
from octavo_operator.render.gateway_pod import gateway_pod

LABELS = {"app.kubernetes.io/name": "octavo-gateway", "app.kubernetes.io/managed-by": "octavo-operator"}
SELECTOR = {"app.kubernetes.io/name": "octavo-gateway"}
OWNER = {
    "apiVersion": "serving.octavo.dev/v1alpha1",
    "kind": "InferenceService",
    "name": "demo",
    "uid": "uid-demo",
}
METADATA = {"namespace": "team", "name": "octavo-gateway", "labels": LABELS, "ownerReferences": [OWNER]}
LOOK = ["get", "list", "watch"]


def probe(path: str, period: int, failures: int) -> dict[str, object]:
    return {
        "httpGet": {"path": path, "port": "admin"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def test_the_gateway_of_one_service() -> None:
    account, role, binding, service, budget, deployment = gateway_children(
        gateway_seen(), GatewayDefaults(image="octavo/operator:1")
    )
    assert account == {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": METADATA}
    assert role == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": METADATA,
        "rules": [
            {"apiGroups": ["serving.octavo.dev"], "resources": ["inferenceservices"], "verbs": LOOK},
            {"apiGroups": [""], "resources": ["pods"], "verbs": LOOK},
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": ["demo-gateway-token"],
                "verbs": LOOK,
            },
        ],
    }
    assert binding == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": METADATA,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "octavo-gateway"},
        "subjects": [{"kind": "ServiceAccount", "name": "octavo-gateway", "namespace": "team"}],
    }
    assert service == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": METADATA,
        "spec": {
            "type": "ClusterIP",
            "selector": SELECTOR,
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
    }
    assert budget == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": METADATA,
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": SELECTOR},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": METADATA,
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": SELECTOR},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 300,
            "revisionHistoryLimit": 1,
            "template": {"metadata": {"labels": LABELS}, "spec": POD},
        },
    }


POD: dict[str, Any] = {
    "serviceAccountName": "octavo-gateway",
    "automountServiceAccountToken": True,
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "terminationGracePeriodSeconds": 620,
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": SELECTOR},
        }
    ],
    "containers": [
        {
            "name": "gateway",
            "image": "octavo/operator:1",
            "command": ["python", "-m", "octavo_gateway"],
            "args": [
                *("--http-port", "8080", "--admin-port", "8081"),
                *("--drain-propagation-seconds", "5", "--drain-timeout-seconds", "600"),
            ],
            "env": [
                {"name": "OCTAVO_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            ],
            "ports": [
                {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                {"name": "admin", "containerPort": 8081, "protocol": "TCP"},
            ],
            "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "startupProbe": probe("/healthz", 1, 60),
            "livenessProbe": probe("/healthz", 10, 6),
            "readinessProbe": probe("/readyz", 2, 2),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}


def test_a_certificate_moves_clients_to_https_and_leaves_the_admin_port() -> None:
    spec = gateway_pod(GatewayDefaults(tls_secret="certificate"))
    (container,) = spec["containers"]
    assert container["ports"] == [
        {"name": "https", "containerPort": 8443, "protocol": "TCP"},
        {"name": "admin", "containerPort": 8081, "protocol": "TCP"},
    ]
    assert container["args"][:2] == ["--http-port", "8443"]
    assert container["args"][-4:] == [
        *("--tls-cert", "/var/run/octavo/tls/tls.crt"),
        *("--tls-key", "/var/run/octavo/tls/tls.key"),
    ]
    assert {"name": "tls", "secret": {"secretName": "certificate"}} in spec["volumes"]
    assert {"name": "tls", "mountPath": "/var/run/octavo/tls", "readOnly": True} in container["volumeMounts"]


def test_the_gateway_may_read_the_secrets_that_services_name_and_no_others() -> None:
    keys = {"api_keys_secret": "keys"}
    seen = gateway_seen(neighbour("b", **keys), neighbour("a", **keys), neighbour("c"))
    assert secret_names(seen) == ["a-gateway-token", "b-gateway-token", "c-gateway-token", "keys"]
