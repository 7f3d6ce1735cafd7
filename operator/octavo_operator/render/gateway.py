"""The gateway of a namespace as manifests: Deployment, Service, disruption budget, and what it may do."""

from octavo_api.names import GATEWAY_NAME, LABEL_APP
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.observed import GatewayDefaults, Manifest
from octavo_operator.render.gateway_access import gateway_access
from octavo_operator.render.gateway_metadata import GATEWAY_LABELS, gateway_metadata
from octavo_operator.render.gateway_pod import gateway_pod
from octavo_operator.render.service import client_port

SELECTOR = {LABEL_APP: GATEWAY_NAME}
# Pulling the image on a slow node included; what takes longer needs somebody to look.
PROGRESS_DEADLINE_SECONDS = 300


def gateway_children(seen: GatewaySeen, defaults: GatewayDefaults) -> tuple[Manifest, ...]:
    """The account comes before the pods that run under it."""
    return (
        *gateway_access(seen),
        _service(seen, defaults),
        _disruption_budget(seen),
        _deployment(seen, defaults),
    )


def _deployment(seen: GatewaySeen, defaults: GatewayDefaults) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": gateway_metadata(seen),
        "spec": {
            "replicas": defaults.replicas,
            "selector": {"matchLabels": SELECTOR},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "revisionHistoryLimit": 1,
            "template": {"metadata": {"labels": dict(GATEWAY_LABELS)}, "spec": gateway_pod(defaults)},
        },
    }


def _service(seen: GatewaySeen, defaults: GatewayDefaults) -> Manifest:
    """Every service has its own Service as well; this one is for clients of several models."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": gateway_metadata(seen),
        "spec": {"type": "ClusterIP", "selector": SELECTOR, "ports": [client_port(defaults)]},
    }


def _disruption_budget(seen: GatewaySeen) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": gateway_metadata(seen),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": SELECTOR},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
