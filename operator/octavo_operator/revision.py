"""A revision: everything that decides what runs in an engine pod, under eight characters of hash.

A revision is frozen in an annotation of its Deployment: the hash of the user's own fields and the pod
template that came out of them together with the operator's defaults (engine image, model commit, our own
rendering). An upgraded operator, or a branch that moved on the hub, therefore finds the user's fields
unchanged and keeps the template: no pod restarts. Only a change by the user makes a new revision.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from hashlib import sha256
from typing import Any

from octavo_api.names import ANNOTATION_MODEL_URI, ANNOTATION_REVISION_INPUTS
from octavo_api.spec import InferenceService
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.observed import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    inputs: str
    """Hash of the user's fields alone."""
    image: str
    uri: str
    """As it was written; told, and no part of what makes the revision."""
    commit: str | None
    template: Manifest
    """The pod template, without the revision's own label."""

    @property
    def frozen(self) -> str:
        """The annotation."""
        content = {
            "inputs": self.inputs,
            "image": self.image,
            "commit": self.commit,
            "template": self.template,
        }
        return canonical(content)

    @property
    def hash8(self) -> str:
        return short_hash(self.frozen)


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def short_hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def inputs_of(service: InferenceService) -> str:
    """Hash of what the user asks to run: not how many, nor how it is rolled out or exposed.

    Fields at their default are left out, so that a later version may add fields without rolling anything.
    """
    user = {
        "name": service.name,
        "source": {type(service.model.source).__name__: _given(service.model.source)},
        "secret": service.model.secret_name,
        "served_names": service.served_names,
        "dtype": service.model.dtype,
        "context_length": service.model.context_length,
        "engine": _given(service.engine),
        "resources": _given(service.resources),
        # A list, because the block's presence counts even when all its fields are at their defaults.
        "accelerator": None if service.accelerator is None else [_given(service.accelerator)],
        "pod": _given(service.pod),
        "drain": _given(service.drain),
    }
    return short_hash(canonical({name: value for name, value in user.items() if value not in (None, {})}))


def existing(service: InferenceService, deployments: Iterable[EngineDeployment]) -> Revision | None:
    """The youngest revision at hand made from the same fields; one with a tampered record does not count."""
    inputs = inputs_of(service)
    for deployment in sorted(deployments, key=lambda item: item.created, reverse=True):
        revision = thawed(deployment)
        if revision is not None and revision.inputs == inputs and not deployment.deleting:
            return revision
    return None


def thawed(deployment: EngineDeployment) -> Revision | None:
    annotations = deployment.manifest["metadata"].get("annotations") or {}
    text = annotations.get(ANNOTATION_REVISION_INPUTS, "")
    if short_hash(text) != deployment.revision:
        return None
    record = json.loads(text)
    return Revision(
        inputs=record["inputs"],
        image=record["image"],
        uri=annotations.get(ANNOTATION_MODEL_URI, ""),
        commit=record["commit"],
        template=record["template"],
    )


def _given(value: Any) -> Any:
    """A dataclass as a dictionary of the fields that differ from their defaults."""
    if isinstance(value, (list, tuple)):
        return [_given(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _given(item) for key, item in value.items()}
    if not is_dataclass(value):
        return value
    given = {}
    for field in fields(value):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if (content := getattr(value, field.name)) != default:
            given[field.name] = _given(content)
    return given
