"""To zero, and back: never on half an answer, never while somebody waits."""

from datetime import timedelta
from typing import Any

import pytest
from operator_builders import NOW, raw_service

from octavo_api.spec import InferenceService
from octavo_operator.activation import activation, idle_seconds
from octavo_operator.autoscaler_seen import Demand
from octavo_operator.traffic import ServiceTraffic, TrafficReport

AUTOSCALING = {"minReplicas": 0, "maxReplicas": 4, "idleSeconds": 60}
QUIET = Demand(idle_seconds=1000.0)


def made(
    replicas: int = 1, available: int | None = 1000, reason: str = "Available", **autoscaling: Any
) -> InferenceService:
    """Available for so many seconds."""
    raw = raw_service(replicas=replicas, autoscaling=AUTOSCALING | autoscaling)
    since = NOW - timedelta(seconds=available or 0)
    condition = {
        "type": "Available",
        "status": "False" if available is None else "True",
        "reason": reason,
        "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    raw["status"] = {"conditions": [condition]}
    return InferenceService.from_manifest(raw)


def decide(of: InferenceService, demand: Demand | None, rolling: bool = False) -> int | None:
    return activation(of, demand, NOW, rolling=rolling)


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_service_that_nobody_used_for_idle_seconds_goes_to_zero(replicas: int) -> None:
    assert decide(made(replicas), Demand(idle_seconds=60.0)) == 0
    assert decide(made(replicas), Demand(idle_seconds=59.9)) is None


def test_a_waiting_request_brings_it_back_with_one_replica() -> None:
    assert decide(made(0), Demand(waiting=3, idle_seconds=0.0)) == 1
    assert decide(made(0), Demand(waiting=1, idle_seconds=None)) == 1
    assert decide(made(0), QUIET) is None


@pytest.mark.parametrize(
    ("of", "demand"),
    [
        (made(), Demand(waiting=1, idle_seconds=1000.0)),
        (made(), Demand(idle_seconds=None)),
        (made(), None),
        (made(available=59), QUIET),
        (made(available=None), QUIET),
        (made(reason="ScaledToZero"), QUIET),
    ],
)
def test_it_stays_while_somebody_waits_or_nobody_knows_or_it_has_just_come_up(
    of: InferenceService, demand: Demand | None
) -> None:
    assert decide(of, demand) is None


def test_it_stays_while_a_rollout_runs() -> None:
    assert decide(made(), QUIET, rolling=True) is None


def test_without_idle_seconds_or_under_keda_it_is_not_ours_to_decide() -> None:
    busy = Demand(waiting=1, idle_seconds=0.0)
    for of in (made(0, minReplicas=1, idleSeconds=None), made(0, provider="KEDA")):
        assert decide(of, busy) is None


def test_idle_time_counts_from_when_it_could_be_used() -> None:
    assert idle_seconds(made(available=7), QUIET, NOW) == 7.0
    assert idle_seconds(made(), Demand(idle_seconds=8.0), NOW) == 8.0


def gateway(waiting: int, idle: float, name: str = "demo") -> TrafficReport:
    told = ServiceTraffic(waiting=waiting, idle_seconds=idle)
    return TrafficReport(pod="gateway", services={name: told})


def test_demand_is_what_waits_anywhere_and_the_least_idle_gateway() -> None:
    found = Demand.of("demo", [gateway(1, 30.0), gateway(2, 10.0)])
    assert found == Demand(waiting=3, idle_seconds=10.0)


@pytest.mark.parametrize("other", [TrafficReport(pod="silent"), gateway(9, 0.0, "other")])
def test_a_gateway_that_does_not_tell_leaves_idleness_unknown_but_not_who_waits(other: TrafficReport) -> None:
    assert Demand.of("demo", [gateway(1, 99.0), other]) == Demand(waiting=1, idle_seconds=None)


def test_without_gateways_there_is_no_demand_to_speak_of() -> None:
    assert Demand.of("demo", []) is None
