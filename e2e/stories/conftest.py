"""What every story stands on: the local cluster with our operator, a namespace of its own, a client inside.

A story that fails prints the state of its namespace: objects, events, logs.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import install
from kubectl import Kubectl
from storytelling import CLIENT, MODELS_CLAIM, client_pod, hub_pod, inference_service, models_claim, state_of


@pytest.fixture(scope="session")
def cluster() -> Kubectl:
    """The local cluster, running, with images loaded and the operator installed."""
    return install.everything()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture
def namespace(cluster: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace that enforces the `restricted` Pod Security level, with the models in a claim."""
    name = (
        f"story-{request.node.name.replace('_', '-')[5:40].strip('-[]').lower()}-{int(time.time()) % 100000}"
    )
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    cluster.apply(*models_claim(name))
    yield name
    if request.node.stash.get(FAILED, False):
        print(state_of(cluster.within(name)))
    cluster("delete", "namespace", name, "--wait=false")
    cluster("delete", "persistentvolume", name, "--wait=false")


@pytest.fixture
def kubectl(cluster: Kubectl, namespace: str) -> Kubectl:
    """kubectl bound to the story's namespace."""
    return cluster.within(namespace)


@pytest.fixture
def until() -> Callable[[str, Callable[[], Any]], Any]:
    """`until("what is awaited", check)` returns the first true value, or fails with what it saw last."""

    def wait(what: str, check: Callable[[], Any], seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        seen: Any = None
        while time.monotonic() < deadline:
            if seen := check():
                return seen
            time.sleep(0.25)
        raise AssertionError(f"not within {seconds:.0f} s: {what} (last seen: {seen!r})")

    return wait


@pytest.fixture(scope="session")
def tiny_model() -> str:
    """The URI of a tiny random Llama in the claim that every story's namespace has."""
    return f"pvc://{MODELS_CLAIM}/{install.tiny_model()}"


@pytest.fixture(scope="session")
def misbehaving(cluster: Kubectl) -> str:
    """The image of an engine whose faults are ordered in its environment, on the nodes."""
    return install.misbehaving_engine()


@pytest.fixture
def serve(kubectl: Kubectl) -> Callable[..., None]:
    """Apply an InferenceService made for stories (one thread, short drain) and wait until it is Ready."""

    def apply(name: str, uri: str, wait: bool = True, **spec: Any) -> None:
        kubectl.apply(inference_service(name, uri, **spec))
        if wait:
            kubectl("wait", f"infsvc/{name}", "--for=condition=Ready", "--timeout=180s")

    return apply


@pytest.fixture
def hub(cluster: Kubectl, kubectl: Kubectl, tiny_model: str) -> Iterator[str]:
    """A pod that speaks the hub's API and has one private model; the operator is told to ask it."""
    kubectl("create", "configmap", "hub", f"--from-file={install.ROOT}/tests/support/hub_server.py")
    kubectl.apply(*hub_pod(install.TINY_MODEL))
    kubectl("wait", "pod/hub", "--for=condition=Ready", "--timeout=60s")
    endpoint = f"http://hub.{kubectl.namespace}.svc.cluster.local"
    set_hub(cluster, f"OCTAVO_HUB_ENDPOINT={endpoint}")
    yield endpoint
    set_hub(cluster, "OCTAVO_HUB_ENDPOINT-")


def set_hub(cluster: Kubectl, setting: str) -> None:
    system = cluster.within(install.OPERATOR_NAMESPACE)
    system("set", "env", install.OPERATOR_DEPLOYMENT, setting)
    install.operator_is_rolled_out()


@pytest.fixture
def client(kubectl: Kubectl) -> Callable[..., list[dict[str, Any]]]:
    """`client(service, *calls, concurrency=1)` makes the calls from a pod, through the Service's DNS name."""
    kubectl.apply(client_pod())
    kubectl("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=60s")

    def call(service: str, *calls: dict[str, Any], concurrency: int = 1) -> list[dict[str, Any]]:
        base_url = f"http://{service}.{kubectl.namespace}.svc.cluster.local/v1"
        todo = {"base_url": base_url, "concurrency": concurrency, "calls": calls}
        done = kubectl("exec", "-i", CLIENT, "--", "python", "/client/calls.py", input=json.dumps(todo))
        results: list[dict[str, Any]] = json.loads(done.stdout)
        return results

    return call
