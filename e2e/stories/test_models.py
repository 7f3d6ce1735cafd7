"""Where models come from, and what a user reads when one cannot be had."""

from typing import Any

from kubectl import Kubectl
from storytelling import conditions


def model_ready(kubectl: Kubectl, name: str) -> dict[str, Any]:
    return conditions(kubectl, name).get("ModelReady", {})


def test_a_folder_that_does_not_exist_is_named_and_not_restarted_for_ever(
    kubectl: Kubectl, serve: Any, until: Any
) -> None:
    serve("tiny", "file:///no-such-model", wait=False)

    until("ModelReady is False", lambda: model_ready(kubectl, "tiny").get("status") == "False")

    found = model_ready(kubectl, "tiny")
    assert found["reason"] == "ModelNotFound"
    assert "no-such-model" in found["message"]
