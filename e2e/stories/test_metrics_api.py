"""custom.metrics.k8s.io served by the operator, asked as a HorizontalPodAutoscaler asks."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import install
from kubectl import Kubectl, condition
from storytelling import CLIENT, engines_of

ROOT = "/apis/custom.metrics.k8s.io/v1beta2"
KV, WAITING = "octavo_kv_cache_usage", "octavo_requests_waiting"
API_SERVICE = "apiservice/v1beta2.custom.metrics.k8s.io"
SECRET = "secret/octavo-metrics-api"
# Tries as anybody in the cluster can: without a certificate, in the words of the API server.
STRANGER = """
import http.client, ssl, sys
context = ssl._create_unverified_context()
host = "octavo-metrics-api.octavo-system.svc.cluster.local"
connection = http.client.HTTPSConnection(host, context=context, timeout=5)
try:
    headers = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    connection.request("GET", sys.argv[1], headers=headers)
    print("answered", connection.getresponse().status)
except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
    print("refused", error)
"""


def values(kubectl: Kubectl, metric: str, service: str, pod: str = "*") -> dict[str, float]:
    """By pod; empty when nobody has a value."""
    selector = f"labelSelector=serving.octavo.dev%2Fservice%3D{service}"
    path = f"{ROOT}/namespaces/{kubectl.namespace}/pods/{pod}/{metric}?{selector}"
    answer = json.loads(kubectl("get", "--raw", path).stdout)
    assert (answer["kind"], answer["apiVersion"]) == ("MetricValueList", "custom.metrics.k8s.io/v1beta2")
    return {item["describedObject"]["name"]: number(item["value"]) for item in answer["items"]}


def number(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def names_of(kubectl: Kubectl, service: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in engines_of(kubectl, service)}


def test_every_serving_pod_has_values_and_an_autoscaler_reads_them(
    kubectl: Kubectl, serve: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model, replicas=2)
    serve("other", tiny_model)
    until("both pods have values", lambda: set(values(kubectl, KV, "tiny")) == names_of(kubectl, "tiny"))
    assert values(kubectl, WAITING, "tiny") == dict.fromkeys(names_of(kubectl, "tiny"), 0.0)
    one = min(names_of(kubectl, "tiny"))
    assert set(values(kubectl, KV, "tiny", pod=one)) == {one}
    assert values(kubectl, KV, "nobody") == {}
    refused = kubectl("get", "--raw", f"{ROOT}/namespaces/{kubectl.namespace}/pods/{one}/cpu", check=False)
    assert "there is no metric cpu of pods" in refused.stderr

    metrics = [
        {
            "type": "Pods",
            "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": "1"}},
        }
        for name in (KV, WAITING)
    ]
    target = {"apiVersion": "serving.octavo.dev/v1alpha1", "kind": "InferenceService", "name": "tiny"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 2, "metrics": metrics}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "byhand"},
    }
    kubectl.apply({**autoscaler, "spec": spec})
    until(
        "the autoscaler is active",
        lambda: condition(kubectl.get("hpa", "byhand"), "ScalingActive").get("status") == "True",
        seconds=60,
    )
    seen = kubectl.get("hpa", "byhand")["status"]["currentMetrics"]
    assert [one["pods"]["metric"]["name"] for one in seen] == [KV, WAITING]


def test_what_waits_is_counted_wherever_it_waits(
    kubectl: Kubectl, serve: Any, client: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model, engine={"scheduling": {"maxRunningRequests": 1}})
    long = {"max_tokens": 256, "temperature": 0, "extra_body": {"ignore_eos": True}}
    calls = [{"completion": {"model": "tiny", "prompt": "hello", **long}} for _ in range(48)]
    with ThreadPoolExecutor(1) as background:
        answers = background.submit(client, "tiny", *calls, concurrency=8)
        until(
            "seven of eight wait, in the engine or at the gateway",
            lambda: answers.done() or sum(values(kubectl, WAITING, "tiny").values()) == 7,
        )
        assert not answers.done(), "the load was over before"
        assert all("text" in each for each in answers.result())
    until("nobody waits", lambda: set(values(kubectl, WAITING, "tiny").values()) == {0.0})


def test_only_the_api_server_is_answered(kubectl: Kubectl, client: Any) -> None:
    for path in ("/apis", f"{ROOT}/namespaces/default/pods/*/{KV}"):
        said = kubectl("exec", CLIENT, "--", "python", "-c", STRANGER, path).stdout
        assert said.startswith("refused"), said


def test_trust_that_was_taken_away_is_restored(cluster: Kubectl, until: Any) -> None:
    system = cluster.within(install.OPERATOR_NAMESPACE)
    before = system.get(SECRET)["metadata"]["uid"]
    system("delete", SECRET)
    cluster("patch", API_SERVICE, "--type=merge", "-p", json.dumps({"spec": {"caBundle": None}}))

    def is_mended() -> bool:
        secret = system("get", SECRET, "-o", "json", "--ignore-not-found").stdout
        if not secret or json.loads(secret)["metadata"]["uid"] == before:
            return False
        ca = base64.b64decode(json.loads(secret)["data"]["ca.crt"])
        bundle = base64.b64decode(cluster.get(API_SERVICE)["spec"]["caBundle"])
        return ca in bundle

    until("a new certificate, trusted by the API server", is_mended, seconds=90)
    until("the API is available", lambda: cluster("get", "--raw", ROOT, check=False).returncode == 0)
    until(
        "Available is said too",
        lambda: condition(cluster.get(API_SERVICE), "Available").get("status") == "True",
    )


def test_a_namespace_goes_as_quickly_as_without_it(cluster: Kubectl) -> None:
    cluster("create", "namespace", "goes-quickly")
    cluster("delete", "namespace", "goes-quickly", "--timeout=30s")
