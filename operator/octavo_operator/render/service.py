"""The Service that clients call: all revisions behind one name."""

from octavo_api.names import LABEL_SERVICE, PORT_NAME, SERVICE_PORT
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.metadata import child_metadata


def service(service: InferenceService) -> Manifest:
    metadata = child_metadata(service, service.name)
    if service.service.annotations:
        metadata["annotations"] = dict(service.service.annotations)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": service.service.type,
            # Never the revision: during a rollout both the old and the new one serve.
            "selector": {LABEL_SERVICE: service.name},
            "ports": [{"name": PORT_NAME, "port": SERVICE_PORT, "protocol": "TCP", "targetPort": PORT_NAME}],
        },
    }
