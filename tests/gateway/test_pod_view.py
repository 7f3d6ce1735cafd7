"""Which pods get requests."""

from typing import Any

import pytest
from gateway_manifests import READY_SINCE, pod

from octavo_gateway.routing import Endpoint

DRAINING = {"serving.octavo.dev/draining": "2026-11-01T12:30:00Z"}


def test_a_ready_engine_pod_is_an_endpoint() -> None:
    assert pod("a").endpoint == Endpoint(
        pod="a",
        uid="uid-a",
        ip="10.0.0.1",
        port=8000,
        service="demo",
        revision="rev1",
        ready_since=READY_SINCE,
    )


@pytest.mark.parametrize(
    "state",
    [
        {"ready": "False"},
        {"ready": "Unknown"},
        {"ip": ""},
        {"deleting": True},
        {"annotations": DRAINING},
        {"app": "octavo-gateway"},
    ],
    ids=str,
)
def test_a_pod_that_is_not_ready_or_about_to_go_is_none(state: dict[str, Any]) -> None:
    assert pod("a", **state).endpoint is None


def test_a_pod_that_drains_no_more_is_an_endpoint_again() -> None:
    assert pod("a", annotations={}).endpoint == pod("a").endpoint


def test_only_ready_gateway_pods_that_stay_count_as_replicas() -> None:
    states = [{}, {"ready": "False"}, {"deleting": True}, {"app": "octavo-engine"}]
    pods = [pod("g", **{"app": "octavo-gateway", **state}) for state in states]
    assert [each.is_ready_gateway for each in pods] == [True, False, False, False]
