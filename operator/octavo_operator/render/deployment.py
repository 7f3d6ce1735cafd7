"""The Deployment of one revision. Name and selector carry the revision, so two can stand side by side."""

from octavo_api.names import (
    ANNOTATION_ENGINE_IMAGE,
    ANNOTATION_MODEL_COMMIT,
    ANNOTATION_MODEL_URI,
    ANNOTATION_REVISION_INPUTS,
    LABEL_REVISION,
    LABEL_SERVICE,
)
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.metadata import child_metadata
from octavo_operator.revision import Revision


def deployment_name(service: InferenceService, hash8: str) -> str:
    return f"{service.name}-{hash8}"


def deployment(service: InferenceService, revision: Revision, replicas: int) -> Manifest:
    hash8 = revision.hash8
    metadata = child_metadata(service, deployment_name(service, hash8))
    metadata["labels"][LABEL_REVISION] = hash8
    metadata["annotations"] = {
        ANNOTATION_REVISION_INPUTS: revision.frozen,
        ANNOTATION_MODEL_URI: revision.uri,
        ANNOTATION_ENGINE_IMAGE: revision.image,
    }
    if revision.commit is not None:
        metadata["annotations"][ANNOTATION_MODEL_COMMIT] = revision.commit
    labels = {**revision.template["metadata"]["labels"], LABEL_REVISION: hash8}
    template_metadata = {**revision.template["metadata"], "labels": labels}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {LABEL_SERVICE: service.name, LABEL_REVISION: hash8}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "minReadySeconds": service.rollout.min_ready_seconds,
            "progressDeadlineSeconds": service.rollout.progress_deadline_seconds,
            # A revision's template never changes, so there is nothing that a Deployment could go back to.
            "revisionHistoryLimit": 0,
            "template": {"metadata": template_metadata, "spec": revision.template["spec"]},
        },
    }
