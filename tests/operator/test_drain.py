"""Who goes, when a pod may go, and what the Deployment says meanwhile."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from operator_builders import BEFORE, NOW, pod

from octavo_operator.drain import Draining, called_back, replicas, told, victims
from octavo_operator.engine_pod import EnginePod
from octavo_operator.gateway_reports import EndpointReport, GatewayReport

TIMEOUT = timedelta(seconds=300)


def engine(name: str, **fields: Any) -> EnginePod:
    return pod("r", name=name, **({"ready": True} | fields))


def gateway(draining: bool = True, synced: bool = True, **in_flight: int) -> GatewayReport:
    endpoints = {
        name: EndpointReport(uid=f"uid-{name}", draining=draining, in_flight=number)
        for name, number in in_flight.items()
    }
    return GatewayReport(pod="g", synced=synced, endpoints=endpoints)


def leaving(
    pods: Sequence[EnginePod], target: int, *gateways: GatewayReport, **later: float
) -> list[Draining]:
    return list(victims(pods, target, gateways, TIMEOUT, NOW + timedelta(**later)))


def names(items: Sequence[Draining]) -> list[str]:
    return [item.pod.name for item in items]


def is_released(*gateways: GatewayReport, **later: float) -> bool:
    (item,) = leaving([engine("a", draining=NOW)], 0, *gateways, **later)
    return item.released


def test_as_many_go_as_are_too_many() -> None:
    pods = [engine("a"), engine("b"), engine("c")]
    assert [len(leaving(pods, target)) for target in (0, 2, 3, 4)] == [3, 1, 0, 0]


def test_pods_that_are_gone_already_are_no_victims() -> None:
    gone = EnginePod(name="x", revision="r", phase="Failed", created=NOW, ready=False, deleting=False)
    assert leaving([gone, engine("a")], 1) == []


def test_unready_pods_go_first_and_at_once() -> None:
    (item,) = leaving([engine("a"), engine("b", ready=False)], 1, gateway(a=0))
    assert (item.pod.name, item.released, item.timed_out) == ("b", True, False)


def test_then_the_one_with_the_fewest_requests_over_all_gateways() -> None:
    first, second = gateway(draining=False, a=1, b=2, c=2), gateway(draining=False, a=4, b=2, c=1)
    assert names(leaving([engine("a"), engine("b"), engine("c")], 1, first, second)) == ["c", "b"]


def test_one_that_drains_already_stays_the_victim() -> None:
    pods = [engine("a"), engine("b", draining=NOW)]
    assert names(leaving(pods, 1, gateway(a=0, b=3))) == ["b"]
    released = engine("c", draining=NOW, released=True)
    assert names(leaving([*pods, released], 2, gateway(b=0, c=3))) == ["c"]


def test_a_new_victim_waits_for_the_gateways_to_be_told() -> None:
    (item,) = leaving([engine("a")], 0, gateway(draining=False, a=0))
    assert (item.is_new, item.released, item.since) == (True, False, NOW)
    assert item.annotations == {
        "serving.octavo.dev/draining": "2026-11-01T12:00:00Z",
        "controller.kubernetes.io/pod-deletion-cost": "-1000",
    }


def test_it_is_released_when_every_gateway_has_let_go() -> None:
    assert is_released(gateway(a=0), gateway(a=0))
    assert not is_released(gateway(a=0), gateway(a=1))
    assert not is_released(gateway(a=0), gateway(a=0, draining=False))


def test_a_synced_gateway_that_does_not_know_the_pod_has_let_go() -> None:
    assert is_released(gateway())
    assert not is_released(gateway(synced=False))


def test_silence_is_no_acknowledgement_but_no_gateway_at_all_is() -> None:
    assert not is_released(gateway(a=0), GatewayReport(pod="silent"))
    assert is_released()
    assert not victims([engine("a", draining=NOW)], 0, None, TIMEOUT, NOW)[0].released


def test_another_pod_of_the_same_name_proves_nothing() -> None:
    other = {"a": EndpointReport(uid="other", draining=True, in_flight=0)}
    assert not is_released(GatewayReport(pod="g", synced=False, endpoints=other))


def test_after_the_timeout_it_goes_and_what_is_cut_is_counted() -> None:
    (item,) = leaving([engine("a", draining=NOW)], 0, gateway(a=3), seconds=300)
    assert (item.released, item.timed_out, item.in_flight) == (True, True, 3)
    assert item.annotations["controller.kubernetes.io/pod-deletion-cost"] == "-2000"
    assert not is_released(gateway(a=3), seconds=299)


def test_a_released_pod_stays_so_whatever_a_gateway_says_later() -> None:
    (item,) = leaving([engine("a", draining=BEFORE, released=True)], 0, gateway(a=3))
    assert (item.released, item.timed_out, item.is_marked) == (True, False, True)


def test_replicas_fall_by_released_pods_alone() -> None:
    pods = [engine("a"), engine("b", draining=NOW), engine("c", draining=NOW, released=True)]
    assert replicas(3, 1, pods) == 2
    assert replicas(2, 1, pods) == 2
    assert replicas(2, 1, pods[:2]) == 2
    assert replicas(2, 1, pods[:1]) == 1


def test_replicas_that_were_never_made_go_without_ceremony() -> None:
    assert replicas(5, 1, [engine("a"), engine("b")]) == 2


def test_replicas_rise_at_once() -> None:
    assert replicas(1, 3, [engine("a")]) == 3


def test_pods_that_drain_for_no_reason_are_called_back() -> None:
    pods = [engine("a", draining=NOW), engine("b", draining=NOW), engine("c")]
    assert called_back(pods, leaving(pods, 2)) == (pods[1],)


def test_the_sentence_names_what_is_waited_for_and_stays_short() -> None:
    pods = [engine(name, draining=NOW) for name in "abcde"]
    text = told(leaving(pods, 0, gateway(a=1, b=1, c=1, d=1, e=1)))
    assert text.startswith("; draining pod a; draining pod b")
    assert text.endswith("; 2 more are draining")
