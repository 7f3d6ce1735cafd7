from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo_operator.metrics_api.samples import (
    EnginePodAddress,
    Gauges,
    Sample,
    kv_usage_samples,
    metric_value,
    quantity,
    waiting_samples,
)

NOW = datetime(2026, 11, 26, 5, 0, 0, 999, tzinfo=UTC)


def address(name: str, service: str = "demo") -> EnginePodAddress:
    return EnginePodAddress(namespace="team", name=name, uid=f"uid-{name}", ip="10.0.0.1", service=service)


def gauges(kv_usage: float = 0.0, waiting: float = 0.0) -> Gauges:
    return Gauges(kv_usage=kv_usage, waiting=waiting, at=NOW)


def pod(**changes: Any) -> dict[str, Any]:
    metadata = {
        "namespace": "team",
        "name": "a",
        "uid": "uid-a",
        "labels": {"serving.octavo.dev/service": "demo"},
    }
    return {
        "metadata": metadata | changes.pop("metadata", {}),
        "status": {"phase": "Running", "podIP": "10.0.0.1"} | changes.pop("status", {}),
    }


def test_a_running_pod_is_asked_whether_it_is_ready_or_not() -> None:
    assert EnginePodAddress.from_manifest(pod()) == address("a")


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"phase": "Pending"}},
        {"status": {"podIP": ""}},
        {"status": {"phase": "Failed"}},
        {"metadata": {"deletionTimestamp": "2026-11-26T05:00:00Z"}},
        {"metadata": {"annotations": {"serving.octavo.dev/draining": "2026-11-26T05:00:00Z"}}},
    ],
)
def test_a_pod_that_does_not_run_or_is_about_to_go_has_no_sample(changes: dict[str, Any]) -> None:
    assert EnginePodAddress.from_manifest(pod(**changes)) is None


def test_kv_usage_is_the_engines_own_in_thousandths() -> None:
    samples = kv_usage_samples({address("a"): gauges(0.7), address("b"): gauges(0.12345)})
    assert samples == (
        Sample(namespace="team", pod="a", milli=700, at=NOW),
        Sample(namespace="team", pod="b", milli=123, at=NOW),
    )


def test_what_waits_at_the_gateways_is_divided_over_the_serving_pods_of_its_service() -> None:
    serving = {
        address("a"): gauges(waiting=2),
        address("b"): gauges(waiting=0),
        address("c", "other"): gauges(waiting=1),
    }
    samples = waiting_samples(serving, {"demo": 5, "other": 1, "gone": 7})
    assert {sample.pod: sample.milli for sample in samples} == {"a": 4500, "b": 2500, "c": 2000}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50), st.integers(0, 100_000))
def test_the_pods_together_have_all_that_waits(at_pods: list[int], at_gateways: int) -> None:
    serving = {address(f"p{number}"): gauges(waiting=own) for number, own in enumerate(at_pods)}
    samples = waiting_samples(serving, {"demo": at_gateways})
    total = sum(sample.milli for sample in samples)
    assert abs(total - 1000 * (sum(at_pods) + at_gateways)) <= len(at_pods)


@pytest.mark.parametrize(
    ("milli", "text"), [(0, "0"), (1, "1m"), (700, "700m"), (1000, "1"), (1400, "1400m"), (12000, "12")]
)
def test_values_are_kubernetes_quantities(milli: int, text: str) -> None:
    assert quantity(milli) == text


def test_a_metric_value_speaks_of_its_pod() -> None:
    assert metric_value("m", Sample(namespace="team", pod="a", milli=1400, at=NOW)) == {
        "describedObject": {"kind": "Pod", "namespace": "team", "name": "a", "apiVersion": "/v1"},
        "metric": {"name": "m", "selector": None},
        "timestamp": "2026-11-26T05:00:00Z",
        "value": "1400m",
    }
