from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fake_world import GATEWAYS_OWNER

from octavo_operator.gateway_reports import GatewayPod
from octavo_operator.metrics_api.waiting import WaitingAtGateways, total_waiting


@dataclass(frozen=True)
class Traffic:
    waiting: int


@dataclass(frozen=True)
class Report:
    services: Mapping[str, Traffic] | None


def gateway(name: str, *, ready: str = "True", **metadata: object) -> dict[str, Any]:
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]}
    own = {"namespace": "team", "name": name, "ownerReferences": [GATEWAYS_OWNER]}
    return {"metadata": own | metadata, "status": status}


class GatewayPods:
    def __init__(self, *pods: dict[str, Any]) -> None:
        self._pods = pods

    def get(self, namespace: str, name: str) -> None:
        raise AssertionError("gateways are found by their label")

    def of(self, namespace: str, app: str) -> tuple[dict[str, Any], ...]:
        return self._pods if (namespace, app) == ("team", "octavo-gateway") else ()


def test_the_gateways_together_tell_how_many_wait() -> None:
    both = [Report({"a": Traffic(2), "b": Traffic(1)}), Report({"a": Traffic(3)})]
    assert total_waiting(both) == {"a": 5, "b": 1}
    assert total_waiting([]) == {}


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert total_waiting([Report({"a": Traffic(2)}), Report(None)]) is None


async def test_gateways_that_serve_are_asked_once_for_all() -> None:
    asked: list[tuple[GatewayPod, ...]] = []

    async def ask(pods: tuple[GatewayPod, ...]) -> tuple[Report, ...]:
        asked.append(pods)
        return tuple(Report({"a": Traffic(1)}) for _ in pods)

    pods = GatewayPods(
        gateway("one"),
        gateway("starting", ready="False"),
        gateway("ending", deletionTimestamp="2026-11-26T05:00:00Z"),
        gateway("labelled", ownerReferences=[]),
        gateway("two"),
    )
    waiting = WaitingAtGateways(pods, ask)
    assert (await waiting("team"), await waiting("team")) == ({"a": 2}, {"a": 2})
    assert asked == [(GatewayPod("one", "10.0.0.1"), GatewayPod("two", "10.0.0.1"))]
    assert await waiting("elsewhere") == {}
    await waiting.close()
