"""The real HPA controller scales a service by its pods' KV caches and queues, and goes no further."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import install
from kubectl import Kubectl
from scaling import KV_USAGE, QUICK, SYNC_SECONDS, WAITING, Record, asked_for, recorded
from storytelling import CLIENT, client_pod, condition_of, engines_of, inference_service, is_settled
from traffic import failed, streams

TOKEN_BYTES = 768
"""Of the tiny model's KV cache: 3 layers, keys and values, 2 heads of 16 numbers of 4 bytes."""
SMALL_CACHE = ["--kv-cache-memory", str(1024 * TOKEN_BYTES)]
LARGE_CACHE = ["--kv-cache-memory", str(8192 * TOKEN_BYTES)]
METRICS_SERVICE = "octavo-metrics-api"
WINDOW = 2 * SYNC_SECONDS
"""Seconds before a decision in which the API gave what it was made of."""


@pytest.fixture
def client_is_there(kubectl: Kubectl) -> None:
    kubectl.apply(client_pod())
    kubectl("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=60s")


def tiny(uri: str, autoscaling: dict[str, Any], extra_args: list[str], running: int) -> dict[str, Any]:
    engine = {"extraArgs": extra_args, "scheduling": {"maxRunningRequests": running}}
    return inference_service(
        "tiny",
        uri,
        autoscaling={"behavior": QUICK} | autoscaling,
        engine=engine,
        gateway={"queueTimeoutSeconds": 120},
    )


def start(kubectl: Kubectl, manifest: dict[str, Any], until: Any, replicas: int = 1) -> None:
    kubectl.apply(manifest)
    until(f"{replicas} settled replicas", lambda: is_settled(kubectl, "tiny", replicas), seconds=240)
    until("an HPA that scales", lambda: said(kubectl) == ("True", "ScalingActive"), seconds=120)


def said(kubectl: Kubectl) -> tuple[str, str]:
    found = condition_of(kubectl, "tiny", "AutoscalingActive")
    return found.get("status", ""), found.get("reason", "")


def replicas(kubectl: Kubectl) -> int:
    wanted: int = kubectl.get("infsvc", "tiny")["spec"]["replicas"]
    return wanted


def check_arithmetic(record: Record, targets: dict[str, float], maximum: int) -> None:
    """Each rise is what the sum over the pods asks for, by the API's figures; loading pods add nothing."""
    assert record.rises, "the HPA never went up"
    first = record.rises[0]
    wishes = [asked_for(first.averages[name], first.current, target) for name, target in targets.items()]
    assert first.desired == min(maximum, max(wishes)), first
    for rise in record.rises:
        sums = {name: record.most(name, rise.at, WINDOW) for name in targets}
        asked = max(asked_for(sums[name], 1, target) for name, target in targets.items())
        assert rise.desired <= min(maximum, asked), (rise, sums)


def test_full_kv_caches_bring_replicas_and_their_end_takes_them_away(
    kubectl: Kubectl, client_is_there: None, until: Any, tiny_model: str
) -> None:
    autoscaling = {"maxReplicas": 3, "targets": {"kvCachePercent": 50, "waitingRequests": 1000}}
    manifest = tiny(tiny_model, autoscaling, SMALL_CACHE, running=64)
    start(kubectl, manifest, until)
    load: dict[str, Any] = {
        "concurrency": 10,
        "least_tokens": 300,
        "most_tokens": 400,
        "longest_pause_seconds": 0.0,
    }
    with recorded(kubectl, "tiny") as record, streams(kubectl, "tiny", num_prompts=12, **load) as traffic:
        until("more replicas", lambda: replicas(kubectl) > 1, seconds=60)
        assert kubectl("diff", "-f", "-", input=json.dumps(manifest), check=False).returncode == 0
        until("3 ready ones", lambda: is_settled(kubectl, "tiny", 3), seconds=120)
        time.sleep(4 * SYNC_SECONDS)
        report = traffic.stop()
        until("one replica again", lambda: is_settled(kubectl, "tiny", 1), seconds=120)
    assert failed(report) == {}
    check_arithmetic(record, {KV_USAGE: 0.5, WAITING: 1000.0}, maximum=3)
    assert record.replicas[0] == record.replicas[-1] == 1
    assert max(record.replicas) == 3


def test_long_prompts_that_wait_bring_replicas_though_the_kv_caches_are_empty(
    kubectl: Kubectl, client_is_there: None, until: Any, tiny_model: str
) -> None:
    autoscaling = {"maxReplicas": 1, "targets": {"kvCachePercent": 70, "waitingRequests": 4}}
    start(kubectl, tiny(tiny_model, autoscaling, LARGE_CACHE, running=1), until)
    load: dict[str, Any] = {
        "concurrency": 18,
        "least_tokens": 1,
        "most_tokens": 1,
        "longest_pause_seconds": 0.0,
    }
    # One runs at a time, and then the cache holds one context of 1024 tokens: a prompt takes a quarter of it.
    long: dict[str, Any] = {"num_prompts": 60, "prompt_words": 120}
    with recorded(kubectl, "tiny") as record, streams(kubectl, "tiny", **long, **load) as traffic:
        until("the maximum is told", lambda: said(kubectl)[1] == "LimitedByMaximum", seconds=60)
        more = {"spec": {"autoscaling": {"maxReplicas": 2}}}
        kubectl("patch", "infsvc", "tiny", "--type=merge", "-p", json.dumps(more))
        until("2 ready replicas", lambda: is_settled(kubectl, "tiny", 2), seconds=120)
        report = traffic.stop()
        until("one replica again", lambda: is_settled(kubectl, "tiny", 1), seconds=120)
    assert failed(report) == {}
    check_arithmetic(record, {KV_USAGE: 0.7, WAITING: 4.0}, maximum=2)
    assert max(each.averages.get(KV_USAGE, 0.0) for each in record.decisions) < 0.7 / 2
    assert said(kubectl) == ("True", "ScalingActive")


def test_a_rollout_does_not_inflate_the_replicas(
    kubectl: Kubectl, client_is_there: None, until: Any, tiny_model: str
) -> None:
    autoscaling = {
        "minReplicas": 2,
        "maxReplicas": 6,
        "targets": {"kvCachePercent": 95, "waitingRequests": 4},
    }
    manifest = tiny(tiny_model, autoscaling, LARGE_CACHE, running=2)
    start(kubectl, manifest, until, replicas=2)
    # 4 run and 6 wait: three quarters of what two replicas may have waiting.
    load: dict[str, Any] = {"concurrency": 10, "longest_pause_seconds": 0.0}
    with recorded(kubectl, "tiny") as record, streams(kubectl, "tiny", **load) as traffic:
        time.sleep(3 * SYNC_SECONDS)
        manifest["spec"]["engine"]["env"] = [{"name": "CHANGED", "value": "1"}]
        kubectl.apply(manifest)
        until("the next revision", lambda: is_settled(kubectl, "tiny", 2), seconds=240)
        time.sleep(2 * SYNC_SECONDS)
        report = traffic.stop()
    assert failed(report) == {}
    assert record.replicas == [2]
    assert "Disabled" in record.policies, "scaling down is held while a rollout runs"
    hpa = kubectl.get("hpa", "tiny")
    assert hpa["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Max", "and goes on after it"


@pytest.fixture
def metrics_api_comes_back() -> Iterator[None]:
    yield
    install.operator()


@pytest.mark.usefixtures("metrics_api_comes_back")
def test_an_outage_of_the_metrics_holds_the_replicas_and_is_told(
    cluster: Kubectl, kubectl: Kubectl, client_is_there: None, until: Any, tiny_model: str
) -> None:
    autoscaling = {"maxReplicas": 2, "targets": {"kvCachePercent": 70, "waitingRequests": 2}}
    start(kubectl, tiny(tiny_model, autoscaling, LARGE_CACHE, running=1), until)
    with streams(kubectl, "tiny", concurrency=8, longest_pause_seconds=0.0) as traffic:
        until("2 ready replicas", lambda: is_settled(kubectl, "tiny", 2), seconds=120)
        cluster("-n", install.OPERATOR_NAMESPACE, "delete", "service", METRICS_SERVICE)
        until("it is told", lambda: said(kubectl) == ("False", "MetricsUnavailable"), seconds=60)
        traffic.stop()
    # Longer than it takes to go down with metrics: the window and some looks.
    time.sleep(15 + 4 * SYNC_SECONDS)
    assert replicas(kubectl) == 2
    assert is_settled(kubectl, "tiny", 2), "a service without metrics serves on, and is Ready"
    assert "v1beta2.custom.metrics.k8s.io" in condition_of(kubectl, "tiny", "AutoscalingActive")["message"]

    install.operator()
    until("one replica", lambda: is_settled(kubectl, "tiny", 1), seconds=120)
    until("it scales", lambda: said(kubectl) == ("True", "ScalingActive"), seconds=60)


@pytest.mark.usefixtures("metrics_api_comes_back")
def test_without_a_metrics_api_the_condition_names_what_to_install(
    cluster: Kubectl, kubectl: Kubectl, until: Any, tiny_model: str
) -> None:
    start(kubectl, tiny(tiny_model, {"maxReplicas": 2}, LARGE_CACHE, running=1), until)
    cluster("delete", "apiservice", "v1beta2.custom.metrics.k8s.io")
    until("it is told", lambda: said(kubectl) == ("False", "MissingMetricsAPI"), seconds=60)
    assert is_settled(kubectl, "tiny", 1)
    install.operator()
    until("it scales", lambda: said(kubectl) == ("True", "ScalingActive"), seconds=60)


def test_a_service_that_nobody_uses_goes_to_zero_and_a_request_brings_it_back(
    kubectl: Kubectl, client: Callable[..., Any], until: Any, tiny_model: str
) -> None:
    call = {"completion": {"model": "tiny", "prompt": "hello", "max_tokens": 8, "temperature": 0}}
    autoscaling = {"minReplicas": 0, "maxReplicas": 2, "idleSeconds": 15}
    kubectl.apply(tiny(tiny_model, autoscaling, LARGE_CACHE, running=8))
    until("it serves", lambda: is_settled(kubectl, "tiny", 1), seconds=240)
    before = client("tiny", call)

    until("zero", lambda: replicas(kubectl) == 0, seconds=60)
    until("no pods", lambda: engines_of(kubectl, "tiny") == [], seconds=60)
    until("it is told", lambda: said(kubectl) == ("True", "ScaledToZero"))
    assert kubectl.get("infsvc", "tiny")["status"]["phase"] == "ScaledToZero"
    asleep = kubectl.get("infsvc", "tiny")["metadata"]["resourceVersion"]
    time.sleep(10)
    assert kubectl.get("infsvc", "tiny")["metadata"]["resourceVersion"] == asleep, "sleep writes nothing"

    began = time.monotonic()
    assert client("tiny", call) == before
    print(f"answered {time.monotonic() - began:.1f} s after it was asked at zero")
    assert replicas(kubectl) == 1
    until("zero again", lambda: replicas(kubectl) == 0, seconds=90)
