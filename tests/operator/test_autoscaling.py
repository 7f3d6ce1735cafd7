"""Condition AutoscalingActive, on what HPA controllers really write."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from operator_builders import DEFAULTS, NOW, live, observed, raw_service

from octavo_api.names import Reason
from octavo_api.spec import InferenceService
from octavo_operator.autoscaler_seen import AutoscalerSeen
from octavo_operator.autoscaling import autoscaling_active
from octavo_operator.observed import Manifest, Observed, Refusal
from octavo_operator.render.autoscaler import autoscaler

CALCULATED = (
    "the HPA was able to successfully calculate a replica count from pods metric octavo_kv_cache_usage"
)
UNREADABLE = (
    "the HPA was unable to compute the replica count: unable to get metric octavo_kv_cache_usage: "
    "unable to fetch metrics from custom metrics API: "
)
PROMETHEUS = replace(DEFAULTS, prometheus_url="http://prometheus:9090")


def hpa_status(
    *,
    active: tuple[str, str, str] = ("True", "ValidMetricFound", CALCULATED),
    limited: tuple[str, str] = ("False", "DesiredWithinRange"),
    able: tuple[str, str, str] = ("True", "ReadyForNewScale", ""),
    desired: int = 1,
    kv_cache: str = "0",
    waiting: str = "0",
) -> Manifest:
    metrics = {"octavo_kv_cache_usage": kv_cache, "octavo_requests_waiting": waiting}
    told = {"AbleToScale": able, "ScalingActive": active, "ScalingLimited": (*limited, "")}
    return {
        "desiredReplicas": desired,
        "conditions": [
            {"type": type_, "status": status, "reason": reason, "message": message}
            for type_, (status, reason, message) in told.items()
        ],
        "currentMetrics": [
            {"type": "Pods", "pods": {"metric": {"name": name}, "current": {"averageValue": value}}}
            for name, value in metrics.items()
        ],
    }


def seen(
    status: Manifest | None, *, replicas: int = 1, ready_for: int = 1000, said: str = "", **autoscaling: Any
) -> Observed:
    """A service that has been available for so many seconds; without `status` the HPA is not there."""
    raw = raw_service(replicas=replicas, autoscaling={"maxReplicas": 8} | autoscaling)
    since = (NOW - timedelta(seconds=ready_for)).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": "Available", "status": "True", "reason": "Available", "lastTransitionTime": since}]
    if said:
        conditions.append({"type": "AutoscalingActive", "status": "True", "message": said})
    raw["status"] = {"conditions": conditions}
    of = InferenceService.from_manifest(raw)
    (hpa,) = autoscaler(of, 0, rolling=False, prometheus_url="http://prometheus:9090")
    own = () if status is None else (live(hpa) | {"status": status},)
    return observed(of, status=of.status, autoscaler=AutoscalerSeen(own=own))


def brief(of: Observed, *refusals: Refusal) -> tuple[str, Reason, str]:
    verdict = autoscaling_active(of, refusals, NOW)
    assert verdict is not None
    return verdict.status, verdict.reason, verdict.message


def test_without_autoscaling_there_is_no_condition() -> None:
    of = InferenceService.from_manifest(raw_service())
    assert autoscaling_active(observed(of), (), NOW) is None


def test_one_that_scales_says_what_it_wants_at_which_targets_and_why() -> None:
    assert brief(seen(hpa_status(desired=3, kv_cache="843m", waiting="6200m"), replicas=3)) == (
        "True",
        Reason.SCALING_ACTIVE,
        "HorizontalPodAutoscaler demo wants 3 replicas (1 to 8) at targets of 70 % of the KV cache and 4 "
        "waiting requests a replica; when it began to: 84.3 % of the KV cache and 6.2 waiting",
    )


def test_figures_that_move_leave_the_message_as_it_was() -> None:
    _, _, said = brief(seen(hpa_status(desired=3, kv_cache="843m"), replicas=3))
    later = seen(hpa_status(desired=3, kv_cache="712m", waiting="9"), replicas=3, said=said)
    assert brief(later)[2] == said
    more = seen(hpa_status(desired=4, kv_cache="950m", waiting="9"), replicas=4, said=said)
    assert "wants 4 replicas" in brief(more)[2]
    assert brief(more)[2].endswith("when it began to: 95 % of the KV cache and 9 waiting")


def test_a_metric_that_is_missing_is_called_unknown() -> None:
    status = hpa_status()
    status["currentMetrics"] = [{"type": ""}, {"type": "Pods"}]
    assert brief(seen(status))[2].endswith("unknown % of the KV cache and unknown waiting")


def test_the_maximum_is_named_where_it_binds() -> None:
    status, reason, message = brief(
        seen(hpa_status(limited=("True", "TooManyReplicas"), desired=8), replicas=8)
    )
    assert (status, reason) == ("True", Reason.LIMITED_BY_MAXIMUM)
    assert message.startswith("the load asks for more than spec.autoscaling.maxReplicas (8)")


def test_the_minimum_and_the_pace_are_no_limits_to_speak_of() -> None:
    for limited in (("True", "TooFewReplicas"), ("True", "ScaleUpLimit")):
        assert brief(seen(hpa_status(limited=limited)))[1] == Reason.SCALING_ACTIVE


@pytest.mark.parametrize(
    "words",
    [
        "no custom metrics API (custom.metrics.k8s.io) registered",
        "the server could not find the requested resource (get pods.custom.metrics.k8s.io *)",
    ],
)
@pytest.mark.parametrize("ready_for", [0, 1000])
def test_a_cluster_without_the_metrics_api_is_told_what_to_install(words: str, ready_for: int) -> None:
    said = ("False", "FailedGetPodsMetric", UNREADABLE + words)
    status, reason, message = brief(seen(hpa_status(active=said), ready_for=ready_for))
    assert (status, reason) == ("False", Reason.MISSING_METRICS_API)
    assert "manifests/metrics-api" in message and "manifests/prometheus-adapter" in message


@pytest.mark.parametrize(
    "words",
    [
        "the server is currently unable to handle the request (get pods.custom.metrics.k8s.io *)",
        "the server could not find the metric octavo_kv_cache_usage for pods",
    ],
)
def test_an_outage_is_told_in_the_hpas_words(words: str) -> None:
    said = ("False", "FailedGetPodsMetric", UNREADABLE + words)
    status, reason, message = brief(seen(hpa_status(active=said)))
    assert (status, reason) == ("False", Reason.METRICS_UNAVAILABLE)
    assert words in message and "replicas stay as they are" in message


def test_metrics_that_the_first_replica_has_not_given_yet_are_no_outage() -> None:
    said = ("False", "FailedGetPodsMetric", "no metrics returned from custom metrics API")
    assert brief(seen(hpa_status(active=said), ready_for=44))[:2] == ("Unknown", Reason.AUTOSCALER_STARTING)
    assert brief(seen(hpa_status(active=said), ready_for=45))[:2] == ("False", Reason.METRICS_UNAVAILABLE)


def test_an_hpa_that_is_new_is_starting() -> None:
    for status in (None, {}, hpa_status(active=("False", "ScalingDisabled", "scaling is disabled"))):
        assert brief(seen(status))[:2] == ("Unknown", Reason.AUTOSCALER_STARTING)


def test_an_hpa_that_cannot_write_the_scale_says_so() -> None:
    status = hpa_status(able=("False", "FailedUpdateScale", "the scale is refused"))
    assert brief(seen(status)) == (
        "False",
        Reason.SCALING_FAILED,
        "HorizontalPodAutoscaler demo: FailedUpdateScale: the scale is refused",
    )


def test_a_refused_hpa_is_told_in_the_api_servers_words() -> None:
    refusal = Refusal(
        child="HorizontalPodAutoscaler demo", reason=Reason.ADMISSION_REFUSED, message="no", terminal=True
    )
    assert brief(seen(None), refusal)[:2] == ("False", Reason.ADMISSION_REFUSED)


def test_at_zero_it_tells_how_the_service_comes_back() -> None:
    disabled = hpa_status(active=("False", "ScalingDisabled", "scaling is disabled"))
    assert brief(seen(disabled, replicas=0, minReplicas=0, idleSeconds=60)) == (
        "True",
        Reason.SCALED_TO_ZERO,
        "no request came for 60 s (spec.autoscaling.idleSeconds); the next one starts a replica",
    )
    by_hand = brief(seen(disabled, replicas=0))
    assert by_hand[1:] == (
        Reason.SCALED_TO_ZERO,
        "spec.replicas is 0: the autoscaler rests until it is 1 or more",
    )


def kedas(of: Observed, **seen_of_keda: Any) -> Observed:
    (scaled_object,) = of.autoscaler.own
    found = {"own": (scaled_object,), "kedas": None} | seen_of_keda
    return replace(of, defaults=PROMETHEUS, autoscaler=AutoscalerSeen(**found))


def test_keda_needs_a_prometheus_and_its_own_kind() -> None:
    of = seen({}, provider="KEDA")
    assert brief(of)[:2] == ("False", Reason.PROMETHEUS_NOT_CONFIGURED)
    missing = kedas(of, own=(), is_keda_served=False)
    assert brief(missing)[:2] == ("False", Reason.KEDA_NOT_INSTALLED)


def test_kedas_own_words_are_passed_on() -> None:
    words = {"type": "Ready", "status": "False", "reason": "TriggerError", "message": "no route"}
    status, reason, message = brief(kedas(seen({"conditions": [words]}, provider="KEDA")))
    assert (status, reason) == ("False", Reason.METRICS_UNAVAILABLE)
    assert message == "ScaledObject demo: TriggerError: no route; replicas stay as they are"


def test_the_hpa_that_keda_makes_is_read_like_ours() -> None:
    of = seen({"conditions": [{"type": "Ready", "status": "True"}]}, provider="KEDA", replicas=2)
    assert brief(kedas(of))[:2] == ("Unknown", Reason.AUTOSCALER_STARTING)
    status = hpa_status(desired=2)
    status["currentMetrics"] = [
        {"type": "External", "external": {"metric": {"name": name}, "current": {"averageValue": value}}}
        for name, value in (("s0-prometheus", "650m"), ("s1-prometheus", "3"))
    ]
    hpa = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa-demo"}, "status": status}
    status_, reason, message = brief(kedas(of, kedas=hpa))
    assert (status_, reason) == ("True", Reason.SCALING_ACTIVE)
    assert message.endswith("when it began to: 65 % of the KV cache and 3 waiting")
