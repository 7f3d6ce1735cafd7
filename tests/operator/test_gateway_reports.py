import math

import pytest

from octavo_operator.gateway_reports import EndpointReport, GatewayPod, GatewayReport, running_gateways

OWNER = {"kind": "ReplicaSet", "name": "octavo-gateway-5d9c7b", "controller": True}


def raw(*owners: dict[str, object], **status: object) -> dict[str, object]:
    """Of a gateway, unless others own it."""
    metadata = {"name": "g", "ownerReferences": list(owners or (OWNER,))}
    return {"metadata": metadata, "status": {"phase": "Running", "podIP": "10.0.0.1"} | status}


def test_a_report_is_read_as_the_gateway_writes_it() -> None:
    answer = {"synced": True, "pods": {"a": {"uid": "u", "draining": True, "in_flight": 2}}}
    expected = {"a": EndpointReport(uid="u", draining=True, in_flight=2)}
    assert GatewayReport.from_json("g", answer) == GatewayReport(pod="g", synced=True, endpoints=expected)


@pytest.mark.parametrize("answer", [{}, {"pods": {}}, {"synced": True, "pods": {"a": {"uid": "u"}}}])
def test_what_is_no_report_is_refused(answer: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        GatewayReport.from_json("g", answer)


@pytest.mark.parametrize("number", [math.inf, math.nan, -1, 10**400, "0"])
def test_a_number_that_counts_no_requests_makes_it_no_report(number: object) -> None:
    answer = {"synced": True, "pods": {"a": {"uid": "u", "draining": True, "in_flight": number}}}
    with pytest.raises((TypeError, ValueError)):
        GatewayReport.from_json("g", answer)


def test_gateways_that_may_hold_requests_are_asked() -> None:
    starting = raw(podIP=None, phase="Pending")
    crashed = raw(containerStatuses=[{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}])
    running = raw(containerStatuses=[{"state": {"running": {}}}])
    assert running_gateways([starting, crashed]) == ()
    assert running_gateways([running, raw()]) == (GatewayPod("g", "10.0.0.1"),) * 2


@pytest.mark.parametrize(
    "owner",
    [
        OWNER | {"controller": False},
        {"kind": "ReplicaSet", "name": OWNER["name"]},
        OWNER | {"kind": "Job"},
        OWNER | {"name": "octavo-gateway"},
        OWNER | {"name": "my-octavo-gateway-5d9c7b"},
    ],
)
def test_a_pod_that_has_only_the_label_of_a_gateway_is_none(owner: dict[str, object]) -> None:
    assert running_gateways([raw(owner)]) == ()
    assert running_gateways([raw(owner, OWNER)]) == (GatewayPod("g", "10.0.0.1"),)


def test_a_pod_that_nobody_owns_is_no_gateway() -> None:
    status = {"phase": "Running", "podIP": "10.0.0.1"}
    assert running_gateways([{"metadata": {"name": "g"}, "status": status}]) == ()
