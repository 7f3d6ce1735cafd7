"""What each service of a namespace says of the gateway that they share."""

from dataclasses import replace
from typing import Any

import pytest
from operator_builders import gateway_seen, neighbour

from octavo_api.names import Reason
from octavo_api.service_status import Condition
from octavo_operator.gateway_seen import GatewayDeployment, GatewaySeen, Neighbour
from octavo_operator.gateway_status import gateway_ready, outdated
from octavo_operator.verdict import Verdict


def duplicates(seen: GatewaySeen) -> dict[str, str]:
    made = {item.name: gateway_ready(seen, item.name) for item in seen.neighbours}
    return {name: verdict.message for name, verdict in made.items() if verdict.status == "False"}


def told(of: Neighbour, verdict: Verdict) -> Neighbour:
    condition = Condition(
        type="GatewayReady",
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message,
        observed_generation=1,
        last_transition_time="2026-11-01T12:00:00Z",
    )
    return replace(of, told=condition)


def test_the_younger_service_gives_way_and_names_the_older() -> None:
    seen = gateway_seen(neighbour("b", served_names=("x", "m")), neighbour("a", served_names=("y", "m")))
    assert duplicates(seen) == {
        "a": "requests for model m go to InferenceService b, which is older; "
        "change spec.model.servedNames of one of the two"
    }


def test_services_with_names_of_their_own_do_not_meet() -> None:
    assert duplicates(gateway_seen(neighbour("a"), neighbour("b"), neighbour("c"))) == {}


def test_the_name_is_free_again_when_the_older_service_is_gone() -> None:
    assert duplicates(gateway_seen(neighbour("a", served_names=("m",)))) == {}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"availableReplicas": 1}, ("True", "GatewayReady")),
        ({}, ("Unknown", "GatewayStarting")),
        (
            {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "m"}]},
            ("False", "GatewayUnavailable"),
        ),
        (
            {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]},
            ("False", "GatewayUnavailable"),
        ),
    ],
)
def test_the_deployment_decides(status: dict[str, Any], says: tuple[str, str]) -> None:
    (deployment,) = gateway_seen().objects
    verdict = gateway_ready(gateway_seen(objects=({**deployment, "status": status},)), "demo")
    assert (verdict.status, verdict.reason) == says


def test_a_deployment_that_was_ready_counts_though_a_newer_one_makes_no_progress() -> None:
    late = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "late"}
    read = GatewayDeployment.from_manifest({"status": {"availableReplicas": 2, "conditions": [late]}})
    assert read == GatewayDeployment(available_replicas=2, trouble="late")
    (deployment,) = gateway_seen().objects
    seen = gateway_seen(objects=({**deployment, "status": {"availableReplicas": 2, "conditions": [late]}},))
    assert gateway_ready(seen, "demo").status == "True"


def test_a_refused_object_is_told_by_every_service() -> None:
    refused = Verdict("False", Reason.NAME_TAKEN, "Service octavo-gateway: not ours")
    assert gateway_ready(gateway_seen(refused=refused), "demo") == refused


def test_only_services_that_say_something_else_are_visited() -> None:
    seen = gateway_seen(neighbour("a"), neighbour("b"), neighbour("c", served_names=("a",)))
    a, b, c = (told(item, gateway_ready(seen, item.name)) for item in seen.neighbours)
    assert outdated(seen) == ("a", "b", "c")
    assert outdated(replace(seen, neighbours=(a, b, c))) == ()
    # Without the older one the name is free, and the younger has to say so.
    assert outdated(replace(seen, neighbours=(b, c))) == ("c",)


def test_a_service_whose_spec_cannot_be_read_is_not_visited_for_ever() -> None:
    assert outdated(gateway_seen(neighbour("a", served_names=()))) == ()
