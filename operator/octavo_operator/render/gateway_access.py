"""What a namespace's gateway may do: look at the services and pods of its namespace, and at the Secrets that
its services name. Nothing else, and nothing elsewhere.
"""

from octavo_api.names import GATEWAY_NAME, GROUP, PLURAL
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.observed import Manifest
from octavo_operator.render.gateway_metadata import gateway_metadata
from octavo_operator.render.gateway_token import token_secret_name

RBAC = "rbac.authorization.k8s.io"
LOOK = ["get", "list", "watch"]


def gateway_access(seen: GatewaySeen) -> tuple[Manifest, ...]:
    return _account(seen), _role(seen), _role_binding(seen)


def _account(seen: GatewaySeen) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": gateway_metadata(seen)}


def _role(seen: GatewaySeen) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": gateway_metadata(seen),
        "rules": [
            {"apiGroups": [GROUP], "resources": [PLURAL], "verbs": LOOK},
            {"apiGroups": [""], "resources": ["pods"], "verbs": LOOK},
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": secret_names(seen),
                "verbs": LOOK,
            },
        ],
    }


def secret_names(seen: GatewaySeen) -> list[str]:
    """Sorted, so that equal services give an equal Role."""
    tokens = {token_secret_name(neighbour.name) for neighbour in seen.neighbours}
    keys = {neighbour.api_keys_secret for neighbour in seen.neighbours if neighbour.api_keys_secret}
    return sorted(tokens | keys)


def _role_binding(seen: GatewaySeen) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": gateway_metadata(seen),
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": GATEWAY_NAME},
        "subjects": [{"kind": "ServiceAccount", "name": GATEWAY_NAME, "namespace": seen.namespace}],
    }
