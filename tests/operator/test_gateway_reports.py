import math

import pytest

from octavo_operator.gateway_reports import EndpointReport, GatewayPod, GatewayReport, running_gateways


def raw(**status: object) -> dict[str, object]:
    return {"metadata": {"name": "g"}, "status": {"phase": "Running", "podIP": "10.0.0.1"} | status}


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
