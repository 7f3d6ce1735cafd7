"""What breaks is brought back, and what is deleted stays away."""

from collections.abc import Iterator
from typing import Any

import pytest

import install
from kubectl import Kubectl

GOOD = {"completion": {"model": "tiny", "prompt": "hello", "max_tokens": 8, "temperature": 0}}
OF_TINY = ("-l", "serving.octavo.dev/service=tiny")
ENGINE = ("pods", *OF_TINY)
DEPLOYMENTS = ("deployments", *OF_TINY)
CHILDREN = "deployments,replicasets,pods,services,poddisruptionbudgets"


def restarts(kubectl: Kubectl) -> int:
    pods = kubectl.items(*ENGINE)
    return sum(each["restartCount"] for pod in pods for each in pod["status"].get("containerStatuses", []))


def is_ready(kubectl: Kubectl) -> bool:
    state = kubectl.get("infsvc", "tiny").get("status", {})
    return state.get("readyReplicas", 0) >= 1 and any(
        each["type"] == "Ready" and each["status"] == "True" for each in state.get("conditions", [])
    )


def test_an_engine_that_is_killed_in_its_pod_serves_again(
    kubectl: Kubectl, serve: Any, client: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    before = client("tiny", GOOD)

    install.kill_container(kubectl.items(*ENGINE)[0])

    until("the container restarted", lambda: restarts(kubectl) == 1)
    until("the service is ready", lambda: is_ready(kubectl))
    assert client("tiny", GOOD) == before


def test_a_deleted_deployment_comes_back_and_serves(
    kubectl: Kubectl, serve: Any, client: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    before = client("tiny", GOOD)
    old = kubectl.items(*DEPLOYMENTS)[0]["metadata"]

    kubectl("delete", "deployment", old["name"])

    def is_back() -> bool:
        return any(each["metadata"]["uid"] != old["uid"] for each in kubectl.items(*DEPLOYMENTS))

    until("another Deployment of the same name", is_back)
    kubectl("wait", f"deployment/{old['name']}", "--for=condition=Available", "--timeout=120s")
    until("the service is ready", lambda: is_ready(kubectl))
    assert client("tiny", GOOD) == before


def test_every_other_child_comes_back_too(kubectl: Kubectl, serve: Any, until: Any, tiny_model: str) -> None:
    serve("tiny", tiny_model)
    for child in ("service", "poddisruptionbudget"):
        uid = kubectl.get(child, "tiny")["metadata"]["uid"]
        kubectl("delete", child, "tiny")
        until(
            f"another {child}",
            lambda child=child, uid=uid: any(
                each["metadata"]["uid"] != uid
                for each in kubectl.items(child)
                if each["metadata"]["name"] == "tiny"
            ),
        )


@pytest.fixture
def operator_comes_back(cluster: Kubectl) -> Iterator[None]:
    """Whatever the story does to the operator, both replicas run again afterwards."""
    yield
    install.start_operator()


def kill_operator(cluster: Kubectl) -> None:
    pods = ("pods", "-l", install.OPERATOR_PODS, "--grace-period=0", "--force")
    cluster("-n", install.OPERATOR_NAMESPACE, "delete", *pods)


@pytest.mark.usefixtures("operator_comes_back")
def test_an_operator_killed_in_the_middle_of_a_create_finishes_it(
    cluster: Kubectl, kubectl: Kubectl, serve: Any, client: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model, wait=False)
    until("the first child", lambda: kubectl.items("deployments,services,poddisruptionbudgets"))
    kill_operator(cluster)

    kubectl("wait", "infsvc/tiny", "--for=condition=Ready", "--timeout=180s")
    assert client("tiny", GOOD)[0]["usage"]["completion_tokens"] == 8
    assert len(kubectl.items(*DEPLOYMENTS)) == 1
    assert restarts(kubectl) == 0


@pytest.mark.usefixtures("operator_comes_back")
def test_a_service_deleted_while_the_operator_is_down_leaves_nothing(
    kubectl: Kubectl, serve: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    install.stop_operator()

    kubectl("delete", "infsvc", "tiny", "--timeout=30s")

    until("no child is left", lambda: not kubectl.items(CHILDREN), seconds=60)
