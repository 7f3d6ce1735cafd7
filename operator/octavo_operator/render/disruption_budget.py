"""The PodDisruptionBudget: a node drain takes the engine's pods one after the other."""

from octavo_api.names import LABEL_SERVICE
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.metadata import child_metadata


def disruption_budget(service: InferenceService) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": child_metadata(service, service.name),
        "spec": {
            "maxUnavailable": service.disruption_budget.max_unavailable,
            "selector": {"matchLabels": {LABEL_SERVICE: service.name}},
            # A pod that still loads, or crashes, must not hold up a node drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
