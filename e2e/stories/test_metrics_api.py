"""custom.metrics.k8s.io served by the operator, asked as a HorizontalPodAutoscaler asks."""

import base64
import json
import time
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


def secret_of(cluster: Kubectl) -> dict[str, Any]:
    """Empty when it is not there."""
    system = cluster.within(install.OPERATOR_NAMESPACE)
    found: dict[str, Any] = json.loads(
        system("get", SECRET, "-o", "json", "--ignore-not-found").stdout or "{}"
    )
    return found


def bundle_of(cluster: Kubectl) -> str:
    return str(cluster.get(API_SERVICE)["spec"].get("caBundle", ""))


def is_available(cluster: Kubectl) -> bool:
    return condition(cluster.get(API_SERVICE), "Available").get("status") == "True"


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
    ca = secret_of(cluster)["data"]["ca.crt"]
    cluster("patch", API_SERVICE, "--type=merge", "-p", json.dumps({"spec": {"caBundle": None}}))
    until("the API server trusts again", lambda: bundle_of(cluster) == ca)
    until("and says so", lambda: is_available(cluster))


def test_a_certificate_that_is_lost_is_made_anew_while_the_former_serves(
    cluster: Kubectl, until: Any
) -> None:
    before = secret_of(cluster)["metadata"]["uid"]
    cluster("-n", install.OPERATOR_NAMESPACE, "delete", SECRET)

    def is_new_and_trusted() -> bool:
        cluster("get", "--raw", ROOT)  # fails when nobody answers
        secret = secret_of(cluster)
        if not secret or secret["metadata"]["uid"] == before:
            return False
        return base64.b64decode(secret["data"]["ca.crt"]) in base64.b64decode(bundle_of(cluster))

    until("a new certificate that is trusted", is_new_and_trusted)
    end = time.monotonic() + 15  # by then both replicas have looked
    while time.monotonic() < end:
        cluster("get", "--raw", ROOT)
        time.sleep(0.25)
    assert is_available(cluster)


def test_a_namespace_goes_as_quickly_as_without_it(cluster: Kubectl) -> None:
    cluster("create", "namespace", "goes-quickly")
    cluster("delete", "namespace", "goes-quickly", "--timeout=30s")
