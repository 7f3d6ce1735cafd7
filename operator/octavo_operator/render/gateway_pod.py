"""The gateway's pod: the restricted Pod Security level, two ports, and time for open streams to end."""

from octavo_api.names import (
    ENGINE_UID,
    GATEWAY_ADMIN_PORT,
    GATEWAY_NAME,
    GATEWAY_PORT,
    GATEWAY_TLS_MOUNT,
    GATEWAY_TLS_PORT,
    LABEL_APP,
    PORT_NAME,
    PORT_NAME_ADMIN,
    PORT_NAME_TLS,
)
from octavo_operator.observed import GatewayDefaults, Manifest

PROPAGATION_SECONDS, DRAIN_SECONDS = 5, 600
GRACE_MARGIN_SECONDS = 15


def gateway_pod(defaults: GatewayDefaults) -> Manifest:
    """There is no preStop command: the gateway drains when it gets SIGTERM."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {LABEL_APP: GATEWAY_NAME}},
    }
    return {
        "serviceAccountName": GATEWAY_NAME,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": ENGINE_UID,
            "runAsGroup": ENGINE_UID,
            "fsGroup": ENGINE_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": PROPAGATION_SECONDS + DRAIN_SECONDS + GRACE_MARGIN_SECONDS,
        "topologySpreadConstraints": [spread],
        "containers": [_container(defaults)],
        "volumes": _volumes(defaults),
    }


def _container(defaults: GatewayDefaults) -> Manifest:
    name, port = (PORT_NAME_TLS, GATEWAY_TLS_PORT) if defaults.tls_secret else (PORT_NAME, GATEWAY_PORT)
    return {
        "name": "gateway",
        "image": defaults.image,
        "command": ["python", "-m", "octavo_gateway"],
        "args": _args(defaults, port),
        "env": [
            {"name": "OCTAVO_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"},
            {"name": PORT_NAME_ADMIN, "containerPort": GATEWAY_ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe("/healthz", period=1, failures=60),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=2, failures=2),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _volume_mounts(defaults),
    }


def _args(defaults: GatewayDefaults, port: int) -> list[str]:
    flags: list[tuple[str, object]] = [
        ("--http-port", port),
        ("--admin-port", GATEWAY_ADMIN_PORT),
        ("--drain-propagation-seconds", PROPAGATION_SECONDS),
        ("--drain-timeout-seconds", DRAIN_SECONDS),
    ]
    if defaults.tls_secret:
        flags += [
            ("--tls-cert", f"{GATEWAY_TLS_MOUNT}/tls.crt"),
            ("--tls-key", f"{GATEWAY_TLS_MOUNT}/tls.key"),
        ]
    return [text for flag, value in flags for text in (flag, str(value))]


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": PORT_NAME_ADMIN},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _volumes(defaults: GatewayDefaults) -> list[Manifest]:
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {}}]
    if defaults.tls_secret:
        volumes.append({"name": "tls", "secret": {"secretName": defaults.tls_secret}})
    return volumes


def _volume_mounts(defaults: GatewayDefaults) -> list[Manifest]:
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - a path in the container
    if defaults.tls_secret:
        mounts.append({"name": "tls", "mountPath": GATEWAY_TLS_MOUNT, "readOnly": True})
    return mounts
