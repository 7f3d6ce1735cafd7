"""What the objects of a namespace's gateway have in common: name, labels, owners."""

from octavo_api.names import API_VERSION, FIELD_MANAGER, GATEWAY_NAME, KIND, LABEL_APP, LABEL_MANAGED_BY
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.observed import Manifest

GATEWAY_LABELS = {LABEL_APP: GATEWAY_NAME, LABEL_MANAGED_BY: FIELD_MANAGER}


def gateway_metadata(seen: GatewaySeen) -> Manifest:
    """Owned by all services of the namespace: the garbage collector takes it with the last of them."""
    return {
        "namespace": seen.namespace,
        "name": GATEWAY_NAME,
        "labels": dict(GATEWAY_LABELS),
        "ownerReferences": [
            {"apiVersion": API_VERSION, "kind": KIND, "name": neighbour.name, "uid": neighbour.uid}
            for neighbour in seen.neighbours
        ],
    }
