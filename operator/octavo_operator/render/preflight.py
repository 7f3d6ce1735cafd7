"""The Job that asks `octavo check` about a revision before any running pod makes room for it.

Made out of the revision's frozen pod template, so that it asks about the very container that will run: its
image, flags, environment, volumes and place. It takes no accelerator and hardly any memory, for all may be in
use, and says in its answer what it could therefore not see.
"""

import math
from typing import Any

from octavo_api.names import (
    CONTAINER_NAME,
    LABEL_APP,
    LABEL_MANAGED_BY,
    LABEL_PREFLIGHT,
    LABEL_REVISION,
    LABEL_SERVICE,
)
from octavo_api.quantity import parse_quantity
from octavo_api.spec import InferenceService
from octavo_operator.diagnosis import TERMINAL_EXIT_CODES
from octavo_operator.observed import Manifest
from octavo_operator.render.deployment import deployment_name
from octavo_operator.render.metadata import child_metadata
from octavo_operator.revision import Revision

RESOURCES: Manifest = {
    "requests": {"cpu": "50m", "memory": "256Mi"},
    # Measured: 40 to 90 MB, and 300 MB with a vocabulary of 256k tokens.
    "limits": {"memory": "1Gi"},
}
HUB_TRIES = 6
"""The Job controller waits 10, 20, 40, 80 and 160 seconds between them."""
DEADLINE_MARGIN_SECONDS = 120
"""The operator, which can still see why a pod does not start, gives up before the Job does."""
KEPT_SECONDS = 3600
"""Should the operator be gone: it deletes the Job itself as soon as its answer has been used."""


def preflight_job(service: InferenceService, revision: Revision) -> Manifest:
    """Never changes once made: a Job's template cannot."""
    hash8 = revision.hash8
    metadata = child_metadata(service, f"{deployment_name(service, hash8)}-preflight")
    metadata["labels"][LABEL_REVISION] = hash8
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": HUB_TRIES - 1,
            "activeDeadlineSeconds": service.rollout.progress_deadline_seconds + DEADLINE_MARGIN_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "podFailurePolicy": {
                "rules": [
                    # A node that was drained under the check says nothing about the revision.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER_NAME,
                            "operator": "In",
                            "values": sorted(TERMINAL_EXIT_CODES),
                        },
                    },
                ]
            },
            "template": {
                "metadata": _pod_metadata(service, revision),
                "spec": _pod_spec(service, revision.template["spec"]),
            },
        },
    }


def _pod_metadata(service: InferenceService, revision: Revision) -> Manifest:
    """With the user's own labels, by which a policy may let it reach the hub, but not those of an engine."""
    template: Manifest = revision.template["metadata"]
    ours = (LABEL_SERVICE, LABEL_APP, LABEL_MANAGED_BY)
    labels = {name: value for name, value in template["labels"].items() if name not in ours}
    return {
        **template,
        "labels": labels | {LABEL_PREFLIGHT: service.name, LABEL_REVISION: revision.hash8},
    }


def _pod_spec(service: InferenceService, engine: Manifest) -> Manifest:
    (container,) = engine["containers"]
    # How engines keep away from each other is no rule for what only looks at a model.
    spec = {name: value for name, value in engine.items() if name != "topologySpreadConstraints"}
    return spec | {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "affinity": _affinity(service, engine.get("affinity") or {}),
        "containers": [_container(container)],
    }


def _affinity(service: InferenceService, engine: Manifest) -> Manifest:
    """Best beside the engines that run: their node has the image, and any claim that only one may mount."""
    beside = {
        "weight": 100,
        "podAffinityTerm": {
            "labelSelector": {"matchLabels": {LABEL_SERVICE: service.name}},
            "topologyKey": "kubernetes.io/hostname",
        },
    }
    affinity: dict[str, Any] = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [beside]}}
    if "nodeAffinity" in engine:
        affinity["nodeAffinity"] = engine["nodeAffinity"]
    return affinity


def _container(engine: Manifest) -> Manifest:
    kept = (
        "name",
        "image",
        "env",
        "securityContext",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "volumeMounts",
    )
    return {name: engine[name] for name in kept} | {"args": check_args(engine), "resources": RESOURCES}


def check_args(engine: Manifest) -> list[str]:
    """The engine's command line, asked about instead of obeyed."""
    command, *flags = engine["args"]
    assert command == "serve"
    args = ["check", *flags, "--elsewhere"]
    memory = engine["resources"].get("limits", {}).get("memory")
    if memory is not None:
        args += ["--memory-limit", str(math.ceil(parse_quantity(memory, field="spec.resources.memory")))]
    return args
