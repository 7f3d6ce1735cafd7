"""The parts of the operator's bench that need no cluster."""

import json
import math

import pytest

from audit import OPERATOR, written
from bench.fake_nodes import node
from bench.figures import (
    Figures,
    Latencies,
    Load,
    Memory,
    Rest,
    Restart,
    broken_bounds,
    percentile,
    table,
    to_json,
)
from bench.measure import READ, inference_service
from bench.operator_scale import main, without_workloads
from bench.watched import MARK, brief
from octavo_api.spec import InferenceService

LOAD = Load(services=500, replicas=10, namespaces=50, resync_seconds=60, cores=2, load_average=0.5)
SMALL = Memory(resident=150.0, peak=170.0)
QUICK = Latencies.of([0.01, 0.02], rate=5, missing=0)
REST = Rest(seconds=120, writes=(), reads_a_second=8.0, cpu_share=0.05)
RESTART = Restart(listed_after=2.0, steady_after=9.0, writes=(), memory=SMALL)
WRITE = "patch services/s000"


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3.0, 1.0, 2.0], 50, 2.0), (range(1, 101), 99, 99), (range(1, 11), 99, 10), ([7.0], 99, 7.0)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_nothing_seen_is_no_quick_answer() -> None:
    assert percentile([], 99) == math.inf
    late = Latencies.of([], rate=5, missing=3)
    found = broken_bounds(Figures(load=LOAD, latencies=late))
    assert found == ["p99 from event to action is inf s; 1.0 s is its bound", "3 changes had no effect"]


def test_what_holds_is_not_reported_nor_what_was_not_measured() -> None:
    assert broken_bounds(Figures(load=LOAD)) == []
    whole = Figures(load=LOAD, memory=SMALL, latencies=QUICK, rest=REST, restart=RESTART)
    assert broken_bounds(whole) == []


@pytest.mark.parametrize(
    "broken",
    [
        Figures(load=LOAD, memory=Memory(resident=100, peak=300)),
        Figures(load=LOAD, memory_after_changes=Memory(resident=100, peak=301)),
        Figures(load=LOAD, latencies=Latencies.of([0.1] * 50 + [1.0], rate=5, missing=0)),
        Figures(load=LOAD, latencies=Latencies.of([0.1], rate=5, missing=1)),
        Figures(load=LOAD, rest=Rest(seconds=9, writes=(WRITE,), reads_a_second=1, cpu_share=0)),
        Figures(load=LOAD, restart=Restart(listed_after=1, steady_after=1, writes=(WRITE,), memory=SMALL)),
    ],
)
def test_each_bound_is_watched(broken: Figures) -> None:
    assert len(broken_bounds(broken)) == 1


def test_the_table_has_a_row_for_each_phase_that_was_run() -> None:
    assert table(Figures(load=LOAD, latencies=QUICK)) == (
        "load             500 services, 5000 pods, 50 namespaces\n"
        "machine          2 cores for everything, load average 0.5 before\n"
        "event to action  p50 10 ms, p99 20 ms, longest 20 ms (2 changes, 5/s, 0 without effect)\n"
    )
    whole = Figures(load=LOAD, ready_after=9.0, memory=SMALL, rest=REST, restart=RESTART, gone_after=7.0)
    assert len(table(whole).splitlines()) == 10
    assert json.loads(to_json(whole))["restart"]["memory"] == {"resident": 150.0, "peak": 170.0}


def event(**change: object) -> str:
    whole = {
        "user": {"username": OPERATOR},
        "verb": "patch",
        "objectRef": {"namespace": "n", "resource": "services", "name": "a"},
    }
    return json.dumps(whole | change) + "\n"


def test_the_operators_own_writes_in_these_namespaces_count() -> None:
    elsewhere = {"namespace": "m", "resource": "services", "name": "a"}
    lines = [
        event(),
        event(verb="get"),
        event(user={"username": "somebody"}),
        event(objectRef=elsewhere),
        event(objectRef={}),
        event()[:40],  # as the API server writes it right now
    ]
    assert written(lines, {"n"}) == ["patch services/a"]


def test_rights_are_installed_without_the_operator_that_would_use_them() -> None:
    account, operator = "apiVersion: v1\nkind: ServiceAccount", "apiVersion: apps/v1\nkind: Deployment\nx: 1"
    assert without_workloads(f"{account}\n---\n{operator}\n---\n{account}") == f"{account}\n---\n{account}"


def test_reads_by_name_are_counted_and_no_others() -> None:
    line = 'apiserver_request_total{{code="200",resource="{}",scope="resource",verb="{}"}} {}'
    lines = [
        line.format("inferenceservices", "GET", 7),
        line.format("secrets", "GET", 5),
        line.format("secrets", "LIST", 1),
        line.format("pods", "GET", 1),
    ]
    assert READ.findall("\n".join(lines)) == ["7", "5"]


def test_the_benchs_service_can_be_read_and_needs_no_hub() -> None:
    raw = inference_service(("n", "a"), 10)
    raw["metadata"] |= {"uid": "u", "generation": 1}
    service = InferenceService.from_manifest(raw)
    assert (service.replicas, service.model.uri[:5]) == (10, "hf://")


def test_a_fake_node_is_ready_and_says_how_many_pods_it_takes() -> None:
    status = node(3)["status"]
    assert (node(3)["metadata"]["name"], status["allocatable"]["pods"]) == ("bench-3", "700")


def test_the_benchs_watches_keep_little() -> None:
    meta = {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "1", "labels": {"x": "y"}}
    ready = {"type": "Ready", "status": "True"}
    raw = {"metadata": {**meta, "annotations": {MARK: "7", "other": "x"}}, "status": {"conditions": [ready]}}
    kept = brief(raw)
    assert (kept["metadata"]["annotations"], kept["status"]) == ({MARK: "7"}, {"conditions": [ready]})
    assert "labels" not in kept["metadata"]


def test_help_needs_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--services" in capsys.readouterr().out
