"""Whose is an object that bears the name of a child? Server-side apply with force would take it over."""

from enum import Enum, auto

from octavo_api.names import (
    FIELD_MANAGER,
    GATEWAY_NAME,
    KIND,
    LABEL_APP,
    LABEL_MANAGED_BY,
    LABEL_SERVICE,
)
from octavo_operator.observed import Manifest


class Ownership(Enum):
    OURS = auto()
    LEFTOVER = auto()
    """Of an InferenceService of the same name that was deleted; the garbage collector is about to take it."""
    FOREIGN = auto()


def ownership(item: Manifest, *, service_name: str, service_uid: str) -> Ownership:
    metadata = item["metadata"]
    references = metadata.get("ownerReferences") or ()
    controller = next((reference for reference in references if reference.get("controller")), None)
    if controller is None:
        labels = metadata.get("labels") or {}
        bears_our_labels = (
            labels.get(LABEL_MANAGED_BY) == FIELD_MANAGER and labels.get(LABEL_SERVICE) == service_name
        )
        return Ownership.OURS if bears_our_labels else Ownership.FOREIGN
    if controller["uid"] == service_uid:
        return Ownership.OURS
    is_namesake = (controller["kind"], controller["name"]) == (KIND, service_name)
    return Ownership.LEFTOVER if is_namesake else Ownership.FOREIGN


def gateway_ownership(item: Manifest) -> Ownership:
    """A namespace's gateway belongs to all its services, so no owner's uid tells: the labels do."""
    labels = item["metadata"].get("labels") or {}
    is_ours = (labels.get(LABEL_MANAGED_BY), labels.get(LABEL_APP)) == (FIELD_MANAGER, GATEWAY_NAME)
    return Ownership.OURS if is_ours else Ownership.FOREIGN
