"""A rollout that does not work undoes itself, and not one stream is the worse for it."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

import install
from kubectl import Kubectl
from rolling import Rolling, faulty, sequences
from storytelling import MODELS_CLAIM
from traffic import failed

DEMO = f"pvc://{MODELS_CLAIM}/{install.DEMO_MODEL}"


@pytest.fixture
def rolling(kubectl: Kubectl, until: Callable[..., Any], tiny_model: str) -> Rolling:
    return Rolling(kubectl, until, tiny_model)


@pytest.mark.usefixtures("hub")
def test_what_cannot_work_is_refused_before_a_pod_is_touched(rolling: Rolling) -> None:
    refused: dict[str, tuple[str, str, dict[str, Any]]] = {
        "no such folder": ("ModelNotFound", "no-such-model", {"uri": f"pvc://{MODELS_CLAIM}/no-such-model"}),
        "no such flag": (
            "InvalidEngineConfig",
            "--no-such-flag",
            {"engine": {"extraArgs": ["--no-such-flag"]}},
        ),
        "too large": ("OutOfMemory", "621 MiB", {"uri": DEMO, "resources": {"memory": "300Mi"}}),
    }
    rolling.begin()
    before = rolling.pods()
    with rolling.traffic() as traffic:
        for what, (reason, words, spec) in refused.items():
            traffic.phase(what)
            rolling.write(**spec)
            rolling.until(
                f"{what}: given up",
                lambda reason=reason: rolling.record().get("failure", {}).get("reason") == reason,
            )
            assert words in rolling.given_up()["message"]
            assert rolling.pods() == before
        traffic.phase("no such repository")
        rolling.write(uri="hf://octavo/nothing")
        rolling.until("the hub has been asked", lambda: rolling.reason("Stalled") == "ModelNotFound")
        assert rolling.pods() == before

        traffic.phase("a good one at last")
        rolling.write(engine=sequences(200))
        rolling.settled()
        assert "failure" not in rolling.record()
        assert not rolling.pods().keys() & before.keys()
        report = traffic.stop()

    assert failed(report) == {}
    assert all(phase["ok"] for phase in report.values()), report


def test_one_that_crashes_after_half_a_minute_of_serving_is_given_up_though_its_rollout_was_over(
    rolling: Rolling, misbehaving: str
) -> None:
    rolling.begin()
    before = rolling.revisions()
    with rolling.traffic() as traffic:
        traffic.phase("all seems well")
        rolling.write(engine=faulty(misbehaving, "crash:30"))
        rolling.settled()
        assert {rolling.record()["previousRevision"]} == before

        traffic.phase("crashes after 30 s, each time")
        failure = rolling.given_up(seconds=300)
        assert failure["reason"] == "CrashLoop"
        assert "exit code 1 (3 restarts): misbehaving: crashed on demand after 30 s" in failure["message"]
        assert rolling.revisions() == before

        traffic.phase("as before")
        time.sleep(5)
        report = traffic.stop()

    assert failed(report) == {}
    assert all(phase["ok"] for phase in report.values()), report


def test_one_that_never_serves_or_not_for_long_is_given_up_and_not_tried_again(
    rolling: Rolling, misbehaving: str
) -> None:
    rolling.begin()
    before = rolling.pods()
    with rolling.traffic() as traffic:
        traffic.phase("is never ready")
        rolling.write(engine=faulty(misbehaving, "unready"), rollout={"progressDeadlineSeconds": 20})
        failure = rolling.given_up()
        assert failure["reason"] == "ProgressDeadlineExceeded"
        assert "no progress within spec.rollout.progressDeadlineSeconds (20)" in failure["message"]
        assert rolling.pods() == before

        # Ready for 10 s each time: long enough for requests, and too short for minReadySeconds.
        traffic.phase("crashes before it is proved")
        rolling.write(engine=faulty(misbehaving, "crash:10"), rollout={"minReadySeconds": 60})
        failure = rolling.until("another failure", lambda: other_failure(rolling, failure), seconds=180)
        assert failure["reason"] == "CrashLoop"
        assert "exit code 1 (3 restarts): misbehaving: crashed on demand" in failure["message"]
        assert rolling.given_up() == failure
        assert rolling.pods() == before

        traffic.phase("another operator")
        install.stop_operator()
        install.start_operator()
        # A write that the new operator has to look at, and that asks for nothing.
        rolling.patch(disruptionBudget={"maxUnavailable": 2})
        rolling.until("the new operator has looked", lambda: is_observed(rolling))
        time.sleep(3)
        assert rolling.record()["failure"] == failure
        assert rolling.pods() == before
        report = traffic.stop()

    assert failed(report) == {}
    assert all(phase["ok"] for phase in report.values()), report


def is_observed(rolling: Rolling) -> bool:
    service = rolling.kubectl.get("infsvc", "tiny")
    return bool(service["status"]["observedGeneration"] == service["metadata"]["generation"])


def test_a_canary_goes_back_when_it_is_slow_or_fails_and_on_when_it_is_good(
    rolling: Rolling, misbehaving: str
) -> None:
    rolling.begin()
    before = rolling.pods()
    with rolling.traffic() as traffic:
        traffic.phase("slower than the bound")
        gate = {"minRequests": 20, "maxTTFTMilliseconds": 1000, "regressionPercent": 1000}
        rolling.write(engine=faulty(misbehaving, "slow:1.5"), rollout=canary(gate))
        failure = rolling.given_up()
        assert failure["reason"] == "GateFailed"
        assert re.search(
            r"TTFT p95 1\d{3,} ms of \d+ streams \(over the bound of 1000 ms", failure["message"]
        )
        assert rolling.pods() == before

        traffic.phase("slower than the stable one")
        rolling.write(engine=faulty(misbehaving, "slow:1.6"), rollout=canary({"minRequests": 20}))
        failure = rolling.until("another failure", lambda: other_failure(rolling, failure))
        assert re.search(r"stable \d+(\.\d)? ms, over the regression bound of \+50 %", failure["message"])
        assert rolling.given_up() == failure
        assert rolling.pods() == before

        traffic.phase("fails")
        gate = {"minRequests": 20, "maxErrorPercent": 5, "regressionPercent": 1000}
        rolling.write(engine=faulty(misbehaving, "errors:25,breaks:25"), rollout=canary(gate))
        failure = rolling.until("another failure", lambda: other_failure(rolling, failure))
        figures = r"errors \d+\.\d+ % of \d+ requests \(over the bound of 5 %(; stable 0\.0 %)?\)"
        assert re.search(figures, failure["message"])
        assert rolling.given_up() == failure
        assert rolling.pods() == before

        traffic.phase("too few requests")
        gate = {"minRequests": 100000, "regressionPercent": 1000}
        rolling.write(engine=sequences(200), rollout=canary(gate, 20, 50))
        rolling.until(
            "the canary waits", lambda: "must answer 100000" in rolling.condition("Progressing")["message"]
        )
        time.sleep(5)
        assert (rolling.record().get("passedPercent", 0), rolling.reason("Progressing")) == (0, "CanaryStep")
        assert before.keys() <= rolling.pods().keys()

        traffic.phase("promoted step by step")
        rolling.patch(rollout={"canary": {"gate": {"minRequests": 10}}})
        rolling.settled()
        assert [" goes on to 50 %" in note for note in rolling.events("CanaryStepPassed")] == [True]
        assert ["TTFT p95" in note for note in rolling.events("CanaryPromoted")] == [True]
        report = traffic.stop()

    assert failed(report) == {}
    assert all(phase["ok"] for phase in report.values()), report


def canary(gate: dict[str, Any], *weights: int) -> dict[str, Any]:
    steps = [{"weightPercent": weight, "pauseSeconds": 3} for weight in weights or (50,)]
    return {"strategy": "Canary", "canary": {"steps": steps, "gate": gate}}


def other_failure(rolling: Rolling, before: dict[str, Any]) -> dict[str, Any] | None:
    failure: dict[str, Any] | None = rolling.record().get("failure")
    return failure if failure and failure["revision"] != before["revision"] else None
