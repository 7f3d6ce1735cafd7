"""64 clients stream without a pause while everything around them changes: not one token is lost or wrong."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

import install
from kubectl import Kubectl
from storytelling import CLIENT, client_pod, engines_of, inference_service, is_settled
from traffic import GATEWAY, Traffic, failed, streams


class World:
    """What a story does to the service `tiny`, and waits for."""

    def __init__(self, kubectl: Kubectl, until: Callable[..., Any]) -> None:
        self.kubectl = kubectl
        self.until = until

    def pods(self) -> list[dict[str, Any]]:
        return engines_of(self.kubectl, "tiny")

    def settled(self, replicas: int) -> None:
        self.until(
            f"{replicas} settled replicas", lambda: is_settled(self.kubectl, "tiny", replicas), seconds=240
        )

    def scale(self, replicas: int) -> None:
        self.kubectl("scale", "infsvc/tiny", f"--replicas={replicas}")

    def change(self, max_running_requests: int) -> None:
        """A field of the engine: a new revision."""
        engine = {"scheduling": {"maxRunningRequests": max_running_requests}}
        self.kubectl(
            "patch", "infsvc", "tiny", "--type=merge", "-p", json.dumps({"spec": {"engine": engine}})
        )

    def revisions(self) -> set[str]:
        return {pod["metadata"]["labels"]["serving.octavo.dev/revision"] for pod in self.pods()}

    def evict(self, pod: str) -> None:
        path = f"/api/v1/namespaces/{self.kubectl.namespace}/pods/{pod}/eviction"
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        self.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(eviction))


@pytest.fixture
def world(kubectl: Kubectl, cluster: Kubectl, until: Callable[..., Any], tiny_model: str) -> World:
    """`tiny` with two replicas, Ready; the client on the node of the cluster's DNS, which is not drained."""
    pod = client_pod()
    pod["spec"]["nodeName"] = dns_node(cluster)
    kubectl.apply(pod, tiny(tiny_model, replicas=2))
    kubectl("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=60s")
    made = World(kubectl, until)
    made.settled(2)
    return made


def tiny(uri: str, name: str = "tiny", **spec: Any) -> dict[str, Any]:
    return inference_service(name, uri, gateway={"queueTimeoutSeconds": 120}, **spec)


def dns_node(cluster: Kubectl) -> str:
    pods = cluster.items("-n", "kube-system", "pods", "-l", "k8s-app=kube-dns")
    return str(pods[0]["spec"]["nodeName"])


def other_node(cluster: Kubectl) -> str:
    names = {each["metadata"]["name"] for each in cluster.items("nodes")} - {dns_node(cluster)}
    assert names, "this story drains a node and needs a second one: make cluster-down, then again"
    return str(min(names))


def test_no_stream_fails_through_scaling_and_rollouts(world: World) -> None:
    with streams(world.kubectl, "tiny") as traffic:
        traffic.phase("nothing happens")
        time.sleep(5)

        traffic.phase("scale up")
        world.scale(3)
        world.settled(3)

        traffic.phase("scale down")
        world.scale(2)
        world.settled(2)

        traffic.phase("surge rollout")
        before = world.revisions()
        world.change(200)
        world.until("pods of two revisions", lambda: len(world.revisions()) == 2)
        world.settled(2)
        assert not world.revisions() & before

        traffic.phase("superseded rollout")
        world.change(201)
        world.until("pods of two revisions", lambda: len(world.revisions()) == 2)
        world.change(202)
        world.settled(2)

        traffic.phase("to zero and back")
        world.scale(0)
        world.until("no pod", lambda: not world.pods())
        time.sleep(2)
        world.scale(2)
        world.settled(2)

        report = traffic.stop()

    assert failed(report) == {}
    assert all(phase["ok"] for phase in report.values()), report


def test_no_stream_fails_through_what_the_cluster_does(world: World, cluster: Kubectl) -> None:
    node = other_node(cluster)
    with streams(world.kubectl, "tiny") as traffic:
        traffic.phase("eviction")
        world.evict(world.pods()[0]["metadata"]["name"])
        time.sleep(2)
        world.settled(2)

        traffic.phase("node drain")
        drain(cluster, node)
        try:
            world.settled(2)
        finally:
            cluster("uncordon", node)

        traffic.phase("gateway rollout")
        world.kubectl("rollout", "restart", f"deployment/{GATEWAY}")
        world.kubectl("rollout", "status", f"deployment/{GATEWAY}", "--timeout=180s")

        traffic.phase("operator killed in a rollout")
        world.change(203)
        world.until("pods of two revisions", lambda: len(world.revisions()) == 2)
        install.kill_container(install.operator_pod())
        world.settled(2)

        report = traffic.stop()

    assert failed(report) == {}
    assert all(phase["ok"] for phase in report.values()), report


def drain(cluster: Kubectl, node: str) -> None:
    """Everything on it but what other stories left behind without a controller."""
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
    cluster("drain", node, *flags)


def test_requests_wait_for_a_service_that_starts_for_the_first_time(world: World, tiny_model: str) -> None:
    world.kubectl.apply(tiny(tiny_model, name="second"))
    with streams(world.kubectl, "second", learns_first=False) as traffic:
        traffic.phase("first start")
        world.kubectl("wait", "infsvc/second", "--for=condition=Ready", "--timeout=180s")
        time.sleep(2)
        report = traffic.stop()

    assert failed(report) == {}
    assert report["first start"]["ok"] >= 64


def test_streams_of_an_engine_that_is_killed_go_on_elsewhere_token_for_token(world: World) -> None:
    with streams(world.kubectl, "tiny") as traffic:
        kill_engines(world, traffic, times=3)
        report = traffic.stop()

    assert failed(report) == {}
    assert continued(world.kubectl) > 0, "the story killed no stream: it proves nothing"


def kill_engines(world: World, traffic: Traffic, times: int) -> None:
    for number in range(times):
        traffic.phase(f"engine killed, {number + 1}")
        time.sleep(2)
        install.kill_container(world.pods()[number % 2])
        world.until("the container runs again", lambda: is_settled(world.kubectl, "tiny", 2), seconds=120)


def continued(kubectl: Kubectl) -> float:
    """Streams that the gateways went on with elsewhere, by their own count."""
    total = 0.0
    for pod in kubectl.items("pods", "-l", f"app.kubernetes.io/name={GATEWAY}"):
        path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod['metadata']['name']}:8081/proxy/metrics"
        lines = kubectl("get", "--raw", path).stdout.splitlines()
        total += sum(
            float(line.split()[-1]) for line in lines if line.startswith("octavo_gateway_continued_total{")
        )
    return total


def test_drain_alone_saves_every_stream_and_without_it_they_break(world: World) -> None:
    """With retries and continuation off. The second half is the proof that these stories would notice."""
    policy = {"spec": {"gateway": {"retries": 0}}}
    world.kubectl("patch", "infsvc", "tiny", "--type=merge", "-p", json.dumps(policy))
    world.kubectl("set", "env", f"deployment/{GATEWAY}", "OCTAVO_MAX_CONTINUATIONS=0")
    world.kubectl("rollout", "status", f"deployment/{GATEWAY}", "--timeout=180s")
    world.settled(2)
    with streams(world.kubectl, "tiny") as traffic:
        traffic.phase("drained")
        world.scale(1)
        world.settled(1)
        traffic.phase("torn away")
        time.sleep(1)
        install.kill_container(world.pods()[0])
        time.sleep(1)
        report = traffic.stop()

    assert report["drained"]["failures"] == {}
    assert report["drained"]["ok"] > 0
    assert report["torn away"]["failed"] > 0, "no stream noticed that its engine was taken away"
