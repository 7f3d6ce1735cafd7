"""What all children have in common: labels, owner."""

from octavo_api.names import (
    API_VERSION,
    ENGINE_APP,
    FIELD_MANAGER,
    KIND,
    LABEL_APP,
    LABEL_MANAGED_BY,
    LABEL_SERVICE,
)
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest


def child_labels(service: InferenceService) -> dict[str, str]:
    return {LABEL_APP: ENGINE_APP, LABEL_MANAGED_BY: FIELD_MANAGER, LABEL_SERVICE: service.name}


def child_metadata(service: InferenceService, name: str) -> Manifest:
    """Owned by the InferenceService: the garbage collector deletes the child with it, also without us."""
    return {
        "namespace": service.namespace,
        "name": name,
        "labels": child_labels(service),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": service.name,
                "uid": service.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
