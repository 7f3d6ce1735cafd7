"""Two operators of which one acts, and an operator with rights in one namespace alone."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import install
from kubectl import Kubectl
from storytelling import engines_of, inference_service, is_settled

GOOD = {"completion": {"model": "tiny", "prompt": "hello", "max_tokens": 4, "temperature": 0}}
LEASE_SECONDS = 15
OPERATORS = ("pods", "-l", install.OPERATOR_PODS)
Until = Callable[..., Any]


def change(kubectl: Kubectl, max_running_requests: int) -> None:
    spec = {"spec": {"engine": {"scheduling": {"maxRunningRequests": max_running_requests}}}}
    kubectl("patch", "infsvc", "tiny", "--type=merge", "-p", json.dumps(spec))


def name_of(pod: Any) -> str:
    return str(pod["metadata"]["name"])


def test_a_leader_killed_in_a_rollout_is_followed_by_the_stand_by_which_ends_it(
    kubectl: Kubectl, cluster: Kubectl, serve: Any, client: Any, until: Until, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    system = cluster.within(install.OPERATOR_NAMESPACE)
    leader = install.operator_pod()

    change(kubectl, 101)
    until("pods of two revisions", lambda: len(engines_of(kubectl, "tiny")) == 2)
    install.kill_container(leader)
    killed = time.monotonic()

    until("another leads", lambda: name_of(leader) not in install.lease_holder(system), seconds=60)
    took = time.monotonic() - killed
    print(f"the stand-by leads {took:.1f} s after the leader was killed")
    assert took < LEASE_SECONDS + 5
    until("the rollout has ended", lambda: is_settled(kubectl, "tiny", 1), seconds=120)
    engines = engines_of(kubectl, "tiny")
    assert [each["restartCount"] for pod in engines for each in pod["status"]["containerStatuses"]] == [0]
    assert client("tiny", GOOD)[0]["usage"]["completion_tokens"] == 4


def test_a_leader_that_ends_in_order_hands_over_at_once(cluster: Kubectl, until: Until) -> None:
    system = cluster.within(install.OPERATOR_NAMESPACE)
    install.operator_is_rolled_out()
    leader = install.operator_pod()

    system("delete", "pod", name_of(leader), "--wait=false")
    deleted = time.monotonic()

    until("another leads", lambda: name_of(install.operator_pod()) != name_of(leader), seconds=30)
    took = time.monotonic() - deleted
    print(f"the stand-by leads {took:.1f} s after the leader was deleted")
    assert took < LEASE_SECONDS - 5
    install.operator_is_rolled_out()


@pytest.fixture
def own_operator(cluster: Kubectl, kubectl: Kubectl) -> Iterator[Kubectl]:
    """An operator in the story's namespace that serves it alone; the one of the whole cluster rests."""
    namespace = str(kubectl.namespace)
    install.stop_operator()
    try:
        overlay = install.write_namespaced_overlay(namespace)
        cluster("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
        install.operator_is_rolled_out(namespace)
        yield kubectl
    finally:
        kubectl("delete", "deployment", "octavo-operator", "--ignore-not-found")
        install.start_operator()


def refusals(kubectl: Kubectl) -> list[str]:
    """What the operators of the namespace logged of rights that they lack."""
    lines = kubectl("logs", "-l", install.OPERATOR_PODS, "--tail=-1").stdout.splitlines()
    return [line for line in lines if "403 Forbidden" in line or "APIForbidden" in line]


def test_an_operator_of_one_namespace_serves_it_and_looks_at_no_other(
    own_operator: Kubectl, cluster: Kubectl, serve: Any, client: Any, until: Until, tiny_model: str
) -> None:
    elsewhere = cluster.within("default")
    elsewhere.apply(inference_service("elsewhere", tiny_model))
    try:
        serve("tiny", tiny_model)
        assert client("tiny", GOOD)[0]["usage"]["completion_tokens"] == 4
        change(own_operator, 102)
        until("the rollout has ended", lambda: is_settled(own_operator, "tiny", 1), seconds=120)
        assert elsewhere.get("infsvc", "elsewhere")["status"] == {"observedGeneration": 0}  # the default
    finally:
        elsewhere("delete", "infsvc", "elsewhere", "--wait=false")
    assert refusals(own_operator) == []
    account = f"system:serviceaccount:{own_operator.namespace}:octavo-operator"
    for asked in (("list", "pods", "-n", "default"), ("get", "secrets", "-n", "default"), ("list", "nodes")):
        answer = cluster("auth", "can-i", *asked, f"--as={account}", check=False).stdout
        assert answer.strip() == "no", asked
    own_operator("delete", "infsvc", "tiny")
    until("all is gone", lambda: not own_operator.items("deployments", "-l", "serving.octavo.dev/service"))


def test_rights_that_are_taken_away_and_given_back_are_ridden_out(
    own_operator: Kubectl, serve: Any, until: Until, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    binding = own_operator.get("rolebinding", "octavo-operator")
    own_operator("delete", "rolebinding", "octavo-operator")
    change(own_operator, 103)
    until("the operator says what it may not do", lambda: refusals(own_operator))

    # One that starts without rights waits for them; the other keeps its place.
    leader = name_of(install.operator_pod(str(own_operator.namespace)))
    stand_by = next(name_of(pod) for pod in own_operator.items(*OPERATORS) if name_of(pod) != leader)
    own_operator("delete", "pod", stand_by)
    time.sleep(5)
    assert not is_settled(own_operator, "tiny", 1)

    kept = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")}
    own_operator.apply({**kept, "metadata": {"name": "octavo-operator"}})
    until("the rollout has ended", lambda: is_settled(own_operator, "tiny", 1), seconds=180)
    install.operator_is_rolled_out(str(own_operator.namespace))
    restarts = [
        status["restartCount"]
        for pod in own_operator.items(*OPERATORS)
        for status in pod["status"]["containerStatuses"]
    ]
    assert restarts == [0, 0]
