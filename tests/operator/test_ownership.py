from typing import Any

import pytest

from octavo_operator.ownership import Ownership, gateway_ownership, ownership

OUR_LABELS = {"app.kubernetes.io/managed-by": "octavo-operator", "serving.octavo.dev/service": "demo"}


def owned_by(kind: str, name: str, uid: str, *, controller: bool = True) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": name, "uid": uid, "controller": controller}]}


@pytest.mark.parametrize(
    ("metadata", "whose"),
    [
        (owned_by("InferenceService", "demo", "1"), Ownership.OURS),
        (owned_by("InferenceService", "demo", "0"), Ownership.LEFTOVER),
        (owned_by("InferenceService", "other", "2"), Ownership.FOREIGN),
        (owned_by("StatefulSet", "demo", "3") | {"labels": OUR_LABELS}, Ownership.FOREIGN),
        (owned_by("InferenceService", "demo", "1", controller=False), Ownership.FOREIGN),
        ({"labels": OUR_LABELS}, Ownership.OURS),
        ({"labels": {"app.kubernetes.io/managed-by": "octavo-operator"}}, Ownership.FOREIGN),
        ({"labels": OUR_LABELS | {"serving.octavo.dev/service": "other"}}, Ownership.FOREIGN),
        ({}, Ownership.FOREIGN),
    ],
)
def test_an_object_is_ours_by_its_owner_or_without_one_by_our_labels(
    metadata: dict[str, Any], whose: Ownership
) -> None:
    assert ownership({"metadata": metadata}, service_name="demo", service_uid="1") is whose


GATEWAY_LABELS = {
    "app.kubernetes.io/managed-by": "octavo-operator",
    "app.kubernetes.io/name": "octavo-gateway",
}


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        (GATEWAY_LABELS, Ownership.OURS),
        (GATEWAY_LABELS | {"team": "x"}, Ownership.OURS),
        ({"app.kubernetes.io/name": "octavo-gateway"}, Ownership.FOREIGN),
        (OUR_LABELS, Ownership.FOREIGN),
        ({}, Ownership.FOREIGN),
    ],
)
def test_a_gateways_object_is_ours_by_its_labels_whoever_owns_it(
    labels: dict[str, str], whose: Ownership
) -> None:
    owned = owned_by("InferenceService", "any", "9", controller=False)
    assert gateway_ownership({"metadata": owned | {"labels": labels}}) is whose
