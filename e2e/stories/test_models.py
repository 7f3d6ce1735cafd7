"""Where models come from, and what a user reads when one cannot be had."""

from typing import Any

import pytest

import install
from kubectl import Kubectl
from storytelling import HUB_REPO, HUB_TOKEN, MODELS_CLAIM, condition_of

GOOD = {"completion": {"model": "tiny", "prompt": "hello", "max_tokens": 4, "temperature": 0}}
DEPLOYMENTS = ("deployments", "-l", "serving.octavo.dev/service=tiny")


def last_exit_code(kubectl: Kubectl, name: str) -> int | None:
    code: int | None = kubectl.get("infsvc", name)["status"].get("lastFailure", {}).get("exitCode")
    return code


def test_a_folder_that_does_not_exist_is_named(kubectl: Kubectl, serve: Any, until: Any) -> None:
    serve("tiny", f"pvc://{MODELS_CLAIM}/no-such-model", wait=False)

    found = until("the model is not found", lambda: failed(kubectl, "ModelReady", "ModelNotFound"))

    assert "no-such-model" in found["message"]
    assert last_exit_code(kubectl, "tiny") == 67
    assert condition_of(kubectl, "tiny", "Ready")["status"] == "False"


def test_a_model_that_does_not_fit_says_what_it_needs(
    kubectl: Kubectl, serve: Any, until: Any, tiny_model: str
) -> None:
    uri = f"pvc://{MODELS_CLAIM}/{install.DEMO_MODEL}"
    serve("tiny", uri, wait=False, resources={"cpu": "100m", "memory": "300Mi"})

    found = until("the engine is out of memory", lambda: failed(kubectl, "EngineReady", "OutOfMemory"))

    assert "memory" in found["message"]
    assert last_exit_code(kubectl, "tiny") in (66, 137)


def test_a_flag_that_the_engine_does_not_know_is_named(
    kubectl: Kubectl, serve: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model, wait=False, engine={"extraArgs": ["--no-such-flag"]})

    found = until("the flag is refused", lambda: failed(kubectl, "EngineReady", "InvalidEngineConfig"))

    assert "--no-such-flag" in found["message"]
    assert last_exit_code(kubectl, "tiny") == 64


def test_a_refused_pod_shows_as_a_condition_with_the_remedy(
    kubectl: Kubectl, serve: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", f"file:///{install.tiny_model()}", wait=False)  # hostPath: not under `restricted`

    found = until("the pod is refused", lambda: failed(kubectl, "EngineReady", "PodSecurityRefused"))

    assert "hostPath" in found["message"]


def failed(kubectl: Kubectl, kind: str, reason: str | None = None) -> dict[str, Any] | None:
    """The condition when it is False, and for that reason if one is given."""
    found = condition_of(kubectl, "tiny", kind)
    is_it = found.get("status") == "False" and reason in (None, found.get("reason"))
    return found if is_it else None


@pytest.mark.usefixtures("hub")
def test_a_private_model_comes_from_the_hub_with_a_token_and_is_pinned_to_a_commit(
    kubectl: Kubectl, serve: Any, client: Any, until: Any
) -> None:
    serve("tiny", f"hf://{HUB_REPO}", wait=False)
    refused = until("ModelReady is False", lambda: failed(kubectl, "ModelReady"))
    assert refused["reason"] == "ModelNotFound"  # a hub hides private repositories from strangers
    assert "spec.model.secretRef" in refused["message"]
    assert HUB_TOKEN not in str(kubectl.get("infsvc", "tiny"))

    kubectl("create", "secret", "generic", "hub", f"--from-literal=token={HUB_TOKEN}")
    serve("tiny", f"hf://{HUB_REPO}", model={"secretRef": {"name": "hub"}})

    assert client("tiny", GOOD)[0]["usage"]["completion_tokens"] == 4
    commit = kubectl.get("infsvc", "tiny")["status"]["model"]["commit"]
    assert len(commit) == 40
    assert commit in str(kubectl.items(*DEPLOYMENTS)[0]["spec"]["template"]["spec"]["containers"][0]["args"])


@pytest.mark.usefixtures("hub")
def test_a_repository_that_the_hub_does_not_have_is_named(kubectl: Kubectl, serve: Any, until: Any) -> None:
    kubectl("create", "secret", "generic", "hub", f"--from-literal=token={HUB_TOKEN}")
    serve("tiny", "hf://octavo/nothing", wait=False, model={"secretRef": {"name": "hub"}})

    found = until("the model is not found", lambda: failed(kubectl, "ModelReady", "ModelNotFound"))

    assert "octavo/nothing" in found["message"]
    assert kubectl.items(*DEPLOYMENTS) == []
