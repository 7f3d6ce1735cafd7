"""A namespace's gateway: what is there, and what is then written."""

from dataclasses import replace

from operator_builders import gateway_seen, live, neighbour

from octavo_operator.drift import stamped
from octavo_operator.gateway_plan import gateway_plan
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.observed import GatewayDefaults, Manifest
from octavo_operator.render.gateway import gateway_children

DEFAULTS = GatewayDefaults(image="octavo/operator:1")
KINDS = ["ServiceAccount", "Role", "RoleBinding", "Service", "PodDisruptionBudget", "Deployment"]


def standing(*names: str) -> GatewaySeen:
    """All is as it should be, for the services of these names."""
    seen = gateway_seen(*(neighbour(name) for name in names), objects=())
    return replace(seen, objects=tuple(live(stamped(item)) for item in gateway_children(seen, DEFAULTS)))


def kinds(manifests: tuple[Manifest, ...]) -> list[str]:
    return [manifest["kind"] for manifest in manifests]


def test_the_first_service_brings_the_gateway_and_its_account_comes_first() -> None:
    assert kinds(gateway_plan(gateway_seen(objects=()), DEFAULTS)) == KINDS


def test_a_gateway_that_stands_is_not_written() -> None:
    assert gateway_plan(standing("a", "b"), DEFAULTS) == ()


def test_a_namespace_without_services_gets_none_and_keeps_none() -> None:
    assert gateway_plan(GatewaySeen(namespace="team"), DEFAULTS) == ()
    assert gateway_plan(replace(standing("a"), neighbours=()), DEFAULTS) == ()


def test_a_deleted_object_comes_back_alone() -> None:
    seen = standing("a")
    assert kinds(gateway_plan(replace(seen, objects=seen.objects[1:]), DEFAULTS)) == ["ServiceAccount"]


def test_another_service_becomes_an_owner_and_its_secrets_may_be_read() -> None:
    seen = standing("a")
    written = gateway_plan(replace(seen, neighbours=(*seen.neighbours, neighbour("b"))), DEFAULTS)
    assert kinds(written) == KINDS
    for manifest in written:
        assert [owner["name"] for owner in manifest["metadata"]["ownerReferences"]] == ["a", "b"]
    assert written[1]["rules"][2]["resourceNames"] == ["a-gateway-token", "b-gateway-token"]


def test_a_service_that_is_gone_is_no_owner_any_more() -> None:
    seen = standing("a", "b")
    written = gateway_plan(replace(seen, neighbours=seen.neighbours[1:]), DEFAULTS)
    assert kinds(written) == KINDS
    assert [owner["name"] for owner in written[0]["metadata"]["ownerReferences"]] == ["b"]


def test_a_right_that_somebody_added_is_taken_back() -> None:
    seen = standing("a")
    seen.objects[1]["rules"][2]["resourceNames"].append("everything")
    assert kinds(gateway_plan(seen, DEFAULTS)) == ["Role"]
    seen.objects[1]["rules"][2]["resourceNames"].pop()
    seen.objects[1]["rules"].append({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    assert kinds(gateway_plan(seen, DEFAULTS)) == ["Role"]


def test_a_new_image_or_number_of_replicas_rolls_the_deployment_alone() -> None:
    seen = standing("a")
    assert kinds(gateway_plan(seen, replace(DEFAULTS, image="octavo/operator:2"))) == ["Deployment"]
    assert kinds(gateway_plan(seen, replace(DEFAULTS, replicas=3))) == ["Deployment"]


def test_a_certificate_changes_the_ports() -> None:
    written = gateway_plan(standing("a"), replace(DEFAULTS, tls_secret="certificate"))
    assert kinds(written) == ["Service", "Deployment"]
