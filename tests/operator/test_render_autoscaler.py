"""Whole autoscalers: what spec.autoscaling does to the cluster is read here."""

from typing import Any

import pytest
from operator_builders import service

from octavo_operator.render.autoscaler import autoscaler

OWNER = {
    "apiVersion": "serving.octavo.dev/v1alpha1",
    "kind": "InferenceService",
    "name": "demo",
    "uid": "service-uid",
    "controller": True,
    "blockOwnerDeletion": True,
}
METADATA = {
    "namespace": "team",
    "name": "demo",
    "labels": {
        "app.kubernetes.io/name": "octavo-engine",
        "app.kubernetes.io/managed-by": "octavo-operator",
        "serving.octavo.dev/service": "demo",
    },
    "ownerReferences": [OWNER],
}
TARGET = {"apiVersion": "serving.octavo.dev/v1alpha1", "kind": "InferenceService", "name": "demo"}
GATEWAYS = 'namespace="team",service="demo"'
PROMETHEUS = "http://prometheus.monitoring:9090"


def rendered(start: int = 0, rolling: bool = False, prometheus_url: str | None = None, **spec: Any) -> Any:
    of = service(autoscaling={"maxReplicas": 8} | spec)
    return autoscaler(of, start, rolling=rolling, prometheus_url=prometheus_url)


def behavior(start: int = 0, rolling: bool = False, **spec: Any) -> Any:
    (hpa,) = rendered(start, rolling, **spec)
    return hpa["spec"]["behavior"]


def test_without_autoscaling_there_is_none() -> None:
    assert autoscaler(service(), 60, rolling=False, prometheus_url=PROMETHEUS) == ()


def test_an_hpa_scales_the_service_by_the_means_over_its_pods() -> None:
    assert rendered(start=40) == (
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": METADATA,
            "spec": {
                "scaleTargetRef": TARGET,
                "minReplicas": 1,
                "maxReplicas": 8,
                "metrics": [
                    {
                        "type": "Pods",
                        "pods": {
                            "metric": {"name": "octavo_kv_cache_usage"},
                            "target": {"type": "AverageValue", "averageValue": "700m"},
                        },
                    },
                    {
                        "type": "Pods",
                        "pods": {
                            "metric": {"name": "octavo_requests_waiting"},
                            "target": {"type": "AverageValue", "averageValue": "4"},
                        },
                    },
                ],
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 4,
                        "selectPolicy": "Max",
                        "policies": [
                            {"type": "Pods", "value": 2, "periodSeconds": 40},
                            {"type": "Percent", "value": 100, "periodSeconds": 40},
                        ],
                    },
                    "scaleDown": {
                        "stabilizationWindowSeconds": 300,
                        "selectPolicy": "Max",
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                    },
                },
            },
        },
    )


@pytest.mark.parametrize(("percent", "quantity"), [(5, "50m"), (75, "750m"), (100, "1")])
def test_a_target_is_written_as_the_api_server_writes_it_back(percent: int, quantity: str) -> None:
    (hpa,) = rendered(targets={"kvCachePercent": percent})
    assert hpa["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == quantity


def test_an_hpa_never_goes_to_zero_itself() -> None:
    (hpa,) = rendered(minReplicas=0, idleSeconds=60)
    assert hpa["spec"]["minReplicas"] == 1
    (hpa,) = rendered(minReplicas=3)
    assert hpa["spec"]["minReplicas"] == 3


@pytest.mark.parametrize(
    ("start", "up_window", "up_period", "down_window", "down_period"),
    [
        (0, 12, 120, 300, 120),
        (5, 0, 15, 300, 60),
        (240, 24, 240, 480, 240),
        (900, 60, 900, 1800, 900),
        (3600, 60, 1800, 3600, 1800),
    ],
)
def test_it_moves_as_fast_as_replicas_start(
    start: int, up_window: int, up_period: int, down_window: int, down_period: int
) -> None:
    made = behavior(start)
    up, down = made["scaleUp"], made["scaleDown"]
    assert up["stabilizationWindowSeconds"] == up_window
    assert [policy["periodSeconds"] for policy in up["policies"]] == [up_period, up_period]
    assert down["stabilizationWindowSeconds"] == down_window
    assert [policy["periodSeconds"] for policy in down["policies"]] == [down_period]


def test_the_users_rules_replace_ours_field_by_field() -> None:
    mine = {"scaleDown": {"stabilizationWindowSeconds": 7}, "scaleUp": {"selectPolicy": "Min"}}
    made = behavior(240, behavior=mine)
    assert made["scaleDown"] == behavior(240)["scaleDown"] | {"stabilizationWindowSeconds": 7}
    assert made["scaleUp"] == behavior(240)["scaleUp"] | {"selectPolicy": "Min"}


def test_nothing_is_taken_away_while_a_rollout_runs_whatever_the_user_says() -> None:
    made = behavior(60, rolling=True, behavior={"scaleDown": {"selectPolicy": "Max"}})
    assert made["scaleDown"] == behavior(60)["scaleDown"] | {"selectPolicy": "Disabled"}
    assert made["scaleUp"] == behavior(60)["scaleUp"]


def test_kedas_queries_are_sums_and_its_thresholds_the_targets_of_one_replica() -> None:
    (made,) = rendered(40, prometheus_url=PROMETHEUS, provider="KEDA", minReplicas=2)
    pods = 'namespace="team",pod=~"demo-[0-9a-f]{8}-[a-z0-9]+-[a-z0-9]{5}"'
    assert made == {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": METADATA,
        "spec": {
            "scaleTargetRef": TARGET,
            "minReplicaCount": 2,
            "maxReplicaCount": 8,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(40)}},
            "triggers": [
                {
                    "type": "prometheus",
                    "name": "kv-cache",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": PROMETHEUS,
                        "query": f"sum(vllm:kv_cache_usage_perc{{{pods}}})",
                        "threshold": "0.7",
                    },
                },
                {
                    "type": "prometheus",
                    "name": "waiting",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": PROMETHEUS,
                        "query": f"(sum(vllm:num_requests_waiting{{{pods}}}) or vector(0)) + "
                        f"(sum(octavo_gateway_waiting_requests{{{GATEWAYS}}}) or vector(0))",
                        "threshold": "4",
                    },
                },
            ],
        },
    }


def test_keda_goes_to_zero_when_nobody_has_asked_for_idle_seconds() -> None:
    (made,) = rendered(
        prometheus_url=PROMETHEUS,
        provider="KEDA",
        minReplicas=0,
        idleSeconds=600,
        targets={"kvCachePercent": 5},
    )
    spec = made["spec"]
    assert (spec["minReplicaCount"], spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (0, 600, 600)
    assert spec["pollingInterval"] == 5
    assert [trigger["metadata"]["threshold"] for trigger in spec["triggers"]] == ["0.05", "4", "1000000000"]
    counted = spec["triggers"][2]["metadata"]["query"]
    assert counted == 'sum(increase(octavo_gateway_requests_total{namespace="team",service="demo"}[2m]))'


def test_without_a_prometheus_keda_gets_nothing() -> None:
    assert rendered(provider="KEDA") == ()
