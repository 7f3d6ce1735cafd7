from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from octavo_operator.metrics_api.figures import Figures, WaitingUnknown
from octavo_operator.metrics_api.samples import EnginePodAddress, Gauges
from octavo_operator.metrics_api.selectors import Selector

KV, WAITING = "octavo_kv_cache_usage", "octavo_requests_waiting"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


class Cache:
    def __init__(self, label: str, *items: dict[str, Any]) -> None:
        self._label, self._items = label, items

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        return next((one for one in self.of(namespace, None) if one["metadata"]["name"] == name), None)

    def of(self, namespace: str, value: str | None) -> tuple[dict[str, Any], ...]:
        found = (one for one in self._items if one["metadata"]["namespace"] == namespace)
        return tuple(one for one in found if value is None or self._value(one) == value)

    def _value(self, one: dict[str, Any]) -> str:
        return str(one["metadata"].get("labels", {}).get(self._label, ""))


class Engines:
    """All serve but those named "loading"."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def gauges(self, pods: Iterable[EnginePodAddress]) -> Mapping[EnginePodAddress, Gauges]:
        asked = list(pods)
        self.asked += [pod.name for pod in asked]
        return {pod: Gauges(kv_usage=0.5, waiting=1, at=NOW) for pod in asked if pod.name != "loading"}

    async def close(self) -> None: ...


class Waiting:
    def __init__(self, waiting: Mapping[str, int] | None) -> None:
        self._waiting = waiting

    async def __call__(self, namespace: str) -> Mapping[str, int] | None:
        return self._waiting

    async def close(self) -> None: ...


def service(name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": name}}


def pod(name: str, service: str, **labels: str) -> dict[str, Any]:
    labels["serving.octavo.dev/service"] = service
    metadata = {"namespace": "team", "name": name, "uid": name, "labels": labels}
    return {"metadata": metadata, "status": {"phase": "Running", "podIP": "10.0.0.1"}}


def figures(waiting: Mapping[str, int] | None = None) -> tuple[Figures, Engines]:
    pods = Cache(
        "serving.octavo.dev/service",
        pod("a", "demo", tier="x"),
        pod("b", "demo", tier="y"),
        pod("loading", "demo", tier="y"),
        pod("c", "other"),
    )
    services, engines = Cache("", service("demo"), service("other")), Engines()
    return Figures(pods=pods, services=services, engines=engines, waiting=Waiting(waiting)), engines


async def values(made: Figures, metric: str, selector: str) -> dict[str, int]:
    wanted = made.selected("team", Selector.parse(selector))
    return {sample.pod: sample.milli for sample in await made.samples(metric, "team", wanted)}


async def test_only_the_selected_pods_are_asked_for_their_kv_usage() -> None:
    made, engines = figures()
    assert await values(made, KV, "serving.octavo.dev/service=demo") == {"a": 500, "b": 500}
    assert engines.asked == ["a", "b", "loading"]
    assert await values(made, KV, "") == {"a": 500, "b": 500, "c": 500}


async def test_what_waits_is_divided_over_all_serving_pods_also_those_not_asked_about() -> None:
    made, _ = figures({"demo": 3})
    assert await values(made, WAITING, "tier=x") == {"a": 2500}
    assert await values(made, WAITING, "serving.octavo.dev/service in (demo,other)") == {
        "a": 2500,
        "b": 2500,
        "c": 1000,
    }


async def test_without_the_gateways_word_nothing_is_said_of_waiting_and_kv_usage_goes_on() -> None:
    made, _ = figures(None)
    with pytest.raises(WaitingUnknown, match="kubectl -n team get pods"):
        await values(made, WAITING, "")
    assert await values(made, KV, "tier=x") == {"a": 500}


def test_a_pod_is_found_by_its_name() -> None:
    made, _ = figures()
    assert [one["metadata"]["name"] for one in made.named("team", "c")] == ["c"]
    assert made.named("team", "nobody") == () and made.named("elsewhere", "c") == ()
    assert made.selected("elsewhere", Selector.parse("")) == ()
