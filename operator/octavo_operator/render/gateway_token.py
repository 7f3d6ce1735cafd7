"""The Secret by which a service's engines know that a request comes from the gateway."""

from octavo_api.names import GATEWAY_TOKEN_SUFFIX, TOKEN_SECRET_KEY
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.metadata import child_metadata


def token_secret_name(service_name: str) -> str:
    return service_name + GATEWAY_TOKEN_SUFFIX


def token_secret(service: InferenceService, token: str) -> Manifest:
    """Without a stamp: it is made once, and never compared."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": child_metadata(service, token_secret_name(service.name)),
        "stringData": {TOKEN_SECRET_KEY: token},
    }
