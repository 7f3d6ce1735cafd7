"""Where the engine may write, and where it finds the model. The root file system stays read-only."""

from octavo_api.model_source import ClaimModel, FileModel
from octavo_api.names import CACHE_MOUNT, GATEWAY_TOKEN_MOUNT, MODEL_MOUNT
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.gateway_token import token_secret_name

DEFAULT_SHARED_MEMORY = "1Gi"


def volumes(service: InferenceService, model_root: str | None) -> list[Manifest]:
    shared_memory = service.resources.shared_memory or DEFAULT_SHARED_MEMORY
    always: list[Manifest] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}},
        {"name": "cache", "emptyDir": {}},
        {"name": "gateway-token", "secret": {"secretName": token_secret_name(service.name)}},
    ]
    match service.model.source:
        case ClaimModel(claim=claim):
            source: Manifest = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        case FileModel():
            assert model_root is not None, "plan renders no file:// model without a root"
            # The root, not the model's own folder: links inside it then resolve inside the container and
            # cannot lead out, and a missing folder is the engine's to report instead of a mount that hangs.
            source = {"hostPath": {"path": model_root, "type": "Directory"}}
        case _:
            return always
    return [*always, {"name": "model", **source}]


def volume_mounts(service: InferenceService) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path in the container
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        {"name": "cache", "mountPath": CACHE_MOUNT},
        {"name": "gateway-token", "mountPath": GATEWAY_TOKEN_MOUNT, "readOnly": True},
    ]
    if isinstance(service.model.source, ClaimModel | FileModel):
        mounts.append({"name": "model", "mountPath": MODEL_MOUNT, "readOnly": True})
    return mounts
