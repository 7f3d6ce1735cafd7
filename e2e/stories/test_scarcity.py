"""One accelerator for all: models are swapped on it, also back, and who waits for it is told so."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accelerators import ACCELERATOR, RESOURCE, accelerators
from kubectl import Kubectl
from rolling import Rolling, faulty, sequences
from storytelling import condition_of, engines_of, inference_service
from traffic import failed

FAKE = "fake-accelerator"


@pytest.fixture
def rolling(
    cluster: Kubectl, kubectl: Kubectl, until: Callable[..., Any], tiny_model: str, misbehaving: str
) -> Iterator[Rolling]:
    """`tiny` on the cluster's only accelerator."""
    made = Rolling(kubectl, until, tiny_model)
    with accelerators(cluster, cluster.items("nodes")[-1]["metadata"]["name"]):
        made.begin(engine=faulty(misbehaving, FAKE), accelerator=ACCELERATOR)
        yield made
        # The next story's pods must find it free.
        kubectl("delete", "infsvc", "--all", "--cascade=foreground", "--timeout=60s")


def test_a_model_is_swapped_on_the_only_accelerator_while_requests_wait(
    rolling: Rolling, misbehaving: str
) -> None:
    before = rolling.pods()
    with rolling.traffic() as traffic:
        traffic.phase("Surge waits for another")
        engine = faulty(misbehaving, FAKE) | sequences(200)
        rolling.write(engine=engine, accelerator=ACCELERATOR, rollout={"strategy": "Surge"})
        rolling.until("it is told", lambda: rolling.reason("EngineReady") == "InsufficientAccelerator")
        (waiting,) = (pod["metadata"]["name"] for pod in rolling.engines() if is_pending(pod))
        assert_tells(rolling.condition("EngineReady")["message"], waiting)
        assert before.keys() < rolling.pods().keys(), "what serves goes on serving"

        traffic.phase("Auto falls back to Replace")
        rolling.patch(rollout={"strategy": "Auto"})
        rolling.settled()
        (note,) = rolling.events("StrategyFallback")
        assert "no accelerator is free" in note
        assert rolling.record()["strategy"] == "Replace"
        assert not before.keys() & rolling.pods().keys()

        traffic.phase("and back, with nothing to spare")
        stable = rolling.record()["stableRevision"]
        engine = faulty(misbehaving, f"{FAKE},crash:0")
        rolling.write(engine=engine, accelerator=ACCELERATOR, rollout={"strategy": "Replace"})
        assert rolling.given_up()["reason"] == "CrashLoop"
        assert rolling.revisions() == {stable}
        report = traffic.stop()

    assert failed(report) == {}
    assert all(phase["ok"] for phase in report.values()), report


def test_of_two_services_that_want_it_one_is_told_what_it_waits_for(
    rolling: Rolling, misbehaving: str
) -> None:
    kubectl = rolling.kubectl
    kubectl.apply(
        inference_service("other", rolling.uri, engine=faulty(misbehaving, FAKE), accelerator=ACCELERATOR)
    )
    rolling.until(
        "it is told",
        lambda: condition_of(kubectl, "other", "EngineReady").get("reason") == "InsufficientAccelerator",
    )
    (waiting,) = (pod["metadata"]["name"] for pod in engines_of(kubectl, "other"))
    assert_tells(condition_of(kubectl, "other", "Ready")["message"], waiting)

    kubectl("scale", "infsvc/tiny", "--replicas=0")
    kubectl("wait", "infsvc/other", "--for=condition=Ready", "--timeout=60s")


def assert_tells(message: str, pod: str) -> None:
    """Which pod, what it needs, how much is free, and what to do."""
    assert f"pod {pod} needs 1 {RESOURCE}, and 0 are free" in message
    assert "free one" in message


def is_pending(pod: dict[str, Any]) -> bool:
    return bool(pod["status"]["phase"] == "Pending")
