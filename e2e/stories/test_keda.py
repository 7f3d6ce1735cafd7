"""provider KEDA: a ScaledObject that KEDA's own CRD accepts, and the truth where something is missing.

KEDA itself does not run here: what it would do with the object is in its documentation, not in this story.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import install
import keda
from kubectl import Kubectl
from octavo_api.spec import InferenceService
from octavo_operator.render.autoscaler import autoscaler
from storytelling import condition_of

PROMETHEUS = "http://prometheus.monitoring:9090"
KEDA = {"provider": "KEDA", "minReplicas": 0, "maxReplicas": 3, "idleSeconds": 600}


@pytest.fixture
def prometheus(cluster: Kubectl) -> Iterator[None]:
    """An operator that was told of a Prometheus, which nobody asks here."""
    system = cluster.within(install.OPERATOR_NAMESPACE)

    def tell(setting: str) -> None:
        system("set", "env", install.OPERATOR_DEPLOYMENT, setting)
        system("rollout", "status", install.OPERATOR_DEPLOYMENT, "--timeout=120s")

    tell(f"OCTAVO_PROMETHEUS_URL={PROMETHEUS}")
    yield
    tell("OCTAVO_PROMETHEUS_URL-")


@pytest.fixture
def no_keda(cluster: Kubectl) -> Iterator[None]:
    """Without its CRD before, and after."""
    remove = ("delete", "crd", keda.CRD_NAME, "--ignore-not-found", "--timeout=60s")
    cluster(*remove)
    yield
    cluster(*remove)


def reason(kubectl: Kubectl) -> tuple[str, str]:
    found = condition_of(kubectl, "tiny", "AutoscalingActive")
    return found.get("status", ""), found.get("reason", "")


def change(kubectl: Kubectl, autoscaling: dict[str, Any] | None) -> None:
    body = json.dumps({"spec": {"autoscaling": autoscaling}})
    kubectl("patch", "infsvc", "tiny", "--type=merge", "-p", body)


def names(kubectl: Kubectl, kind: str) -> list[str]:
    return [item["metadata"]["name"] for item in kubectl.items(kind)]


@pytest.mark.usefixtures("no_keda")
def test_without_a_prometheus_the_condition_asks_for_one(
    kubectl: Kubectl, serve: Callable[..., None], until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model, autoscaling=KEDA)
    until("the reason", lambda: reason(kubectl) == ("False", "PrometheusNotConfigured"))
    assert names(kubectl, "hpa") == []


@pytest.mark.usefixtures("no_keda", "prometheus")
def test_kedas_crd_accepts_the_scaled_object_which_comes_and_goes_with_the_provider(
    cluster: Kubectl, kubectl: Kubectl, serve: Callable[..., None], until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model, autoscaling=KEDA)
    until("the reason", lambda: reason(kubectl) == ("False", "KEDANotInstalled"))

    cluster("apply", "--server-side", "-f", str(keda.scaled_object_crd()))
    cluster("wait", f"crd/{keda.CRD_NAME}", "--for=condition=Established", "--timeout=30s")
    until("the ScaledObject", lambda: names(kubectl, "scaledobjects.keda.sh") == ["tiny"], seconds=90)

    # Server-side apply drops what a CRD does not know: so all that was rendered has to be there.
    raw = kubectl.get("infsvc", "tiny")
    start = raw["status"].get("startSeconds", 0)
    of = InferenceService.from_manifest(raw)
    (rendered,) = autoscaler(of, start, rolling=False, prometheus_url=PROMETHEUS)
    live = kubectl.get("scaledobjects.keda.sh", "tiny")
    assert live["spec"] == rendered["spec"]
    copy = rendered | {"metadata": rendered["metadata"] | {"name": "copy"}}
    kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(copy))
    assert reason(kubectl) == ("Unknown", "AutoscalerStarting")

    change(kubectl, KEDA | {"provider": "HPA"})
    until("an HPA in its place", lambda: names(kubectl, "hpa") == ["tiny"])
    until("no ScaledObject", lambda: names(kubectl, "scaledobjects.keda.sh") == [])

    change(kubectl, KEDA)
    until("a ScaledObject again", lambda: names(kubectl, "scaledobjects.keda.sh") == ["tiny"])
    until("no HPA", lambda: names(kubectl, "hpa") == [])
    change(kubectl, None)
    until("neither", lambda: names(kubectl, "scaledobjects.keda.sh") == [])
