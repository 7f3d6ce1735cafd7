"""The children of an InferenceService as manifests: pure functions, one a child."""

from octavo_api.spec import InferenceService
from octavo_operator.observed import GatewayDefaults, Manifest
from octavo_operator.render.deployment import deployment
from octavo_operator.render.disruption_budget import disruption_budget
from octavo_operator.render.service import service as service_manifest
from octavo_operator.revision import Revision

__all__ = ["children"]


def children(
    service: InferenceService,
    revision: Revision | None,
    replicas: int,
    gateway: GatewayDefaults,
) -> tuple[Manifest, ...]:
    """All that should exist; without a revision (the model is not resolved) the Service and the budget."""
    engines = () if revision is None else (deployment(service, revision, replicas),)
    return service_manifest(service, gateway), disruption_budget(service), *engines
