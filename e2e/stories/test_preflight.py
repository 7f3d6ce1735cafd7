"""A change that cannot work is refused before any running pod is touched."""

from collections.abc import Callable
from typing import Any

import pytest

import install
from kubectl import Kubectl
from storytelling import MODELS_CLAIM, engines_of, is_settled

GOOD = {"completion": {"model": "tiny", "prompt": "hello", "max_tokens": 4, "temperature": 0}}
OF_TINY = ("-l", "serving.octavo.dev/service=tiny")
TINY = f"pvc://{MODELS_CLAIM}/{install.TINY_MODEL}"
DEMO = f"pvc://{MODELS_CLAIM}/{install.DEMO_MODEL}"


def failure(kubectl: Kubectl) -> dict[str, Any]:
    """Of the last rollout; empty when there is none."""
    rollout = kubectl.get("infsvc", "tiny")["status"].get("rollout", {})
    return dict(rollout.get("failure", {}))


def identities(pods: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Pods and the starts of their containers."""
    return [
        (pod["metadata"]["uid"], sum(each["restartCount"] for each in pod["status"]["containerStatuses"]))
        for pod in pods
    ]


@pytest.mark.parametrize(
    ("uri", "spec", "reason", "words"),
    [
        pytest.param(
            f"pvc://{MODELS_CLAIM}/no-such-model",
            {},
            "ModelNotFound",
            ("no-such-model", "exit code 67", "spec.model.uri"),
            id="a path that is not there",
        ),
        pytest.param(
            TINY,
            {"engine": {"extraArgs": ["--no-such-flag"]}},
            "InvalidEngineConfig",
            ("--no-such-flag", "exit code 64", "spec.engine"),
            id="a flag that is none",
        ),
        pytest.param(
            DEMO,
            {"resources": {"cpu": "100m", "memory": "300Mi"}},
            "OutOfMemory",
            ("the weights take 621 MiB and the cpu offers 270 MiB", "exit code 66", "spec.resources.memory"),
            id="a model that is too large",
        ),
    ],
)
def test_a_change_that_cannot_work_never_touches_the_running_pod(
    kubectl: Kubectl,
    serve: Any,
    client: Any,
    until: Callable[..., Any],
    tiny_model: str,
    uri: str,
    spec: dict[str, Any],
    reason: str,
    words: tuple[str, ...],
) -> None:
    serve("tiny", tiny_model)
    running = identities(engines_of(kubectl, "tiny"))
    answer = client("tiny", GOOD)

    serve("tiny", uri, wait=False, **spec)

    found = until("the change is given up", lambda: failure(kubectl))
    assert found["reason"] == reason
    assert all(word in found["message"] for word in words), found["message"]
    assert identities(engines_of(kubectl, "tiny")) == running
    assert len(kubectl.items("deployments", *OF_TINY)) == 1
    assert client("tiny", GOOD) == answer
    until("its Job is gone", lambda: kubectl.items("jobs", *OF_TINY) == [])


def test_after_a_refused_change_a_good_one_is_rolled_out(
    kubectl: Kubectl, serve: Any, client: Any, until: Callable[..., Any], tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    (old,) = identities(engines_of(kubectl, "tiny"))
    serve("tiny", f"pvc://{MODELS_CLAIM}/no-such-model", wait=False)
    until("the change is given up", lambda: failure(kubectl))

    serve("tiny", tiny_model, wait=False, model={"contextLength": 512})

    until("the new revision serves alone", lambda: is_settled(kubectl, "tiny", 1))
    (new,) = identities(engines_of(kubectl, "tiny"))
    assert new != old and failure(kubectl) == {}
    assert kubectl.items("jobs", *OF_TINY) == []
    assert client("tiny", GOOD)[0]["usage"]["completion_tokens"] == 4


def test_a_first_revision_is_not_asked_about(kubectl: Kubectl, serve: Any, tiny_model: str) -> None:
    serve("tiny", tiny_model)
    events = kubectl.items("events")
    assert not [event for event in events if event["involvedObject"]["kind"] == "Job"]
