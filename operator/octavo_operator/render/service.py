"""The Service that clients call. It leads to the namespace's gateway, which knows revisions and replicas."""

from octavo_api.names import GATEWAY_NAME, LABEL_APP, PORT_NAME, PORT_NAME_TLS, SERVICE_PORT, SERVICE_TLS_PORT
from octavo_api.spec import InferenceService
from octavo_operator.observed import GatewayDefaults, Manifest
from octavo_operator.render.metadata import child_metadata


def service(service: InferenceService, gateway: GatewayDefaults) -> Manifest:
    metadata = child_metadata(service, service.name)
    if service.service.annotations:
        metadata["annotations"] = dict(service.service.annotations)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": service.service.type,
            "selector": {LABEL_APP: GATEWAY_NAME},
            "ports": [client_port(gateway)],
        },
    }


def client_port(gateway: GatewayDefaults) -> Manifest:
    name, port = (PORT_NAME_TLS, SERVICE_TLS_PORT) if gateway.tls_secret else (PORT_NAME, SERVICE_PORT)
    return {"name": name, "port": port, "protocol": "TCP", "targetPort": name}
