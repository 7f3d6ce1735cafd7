"""Condition AutoscalingActive: does the autoscaler scale, and if not, why and what to do. Pure.

Figures move at each of its syncs, and a status that follows them would be written as often. So a message ends
in the figures that were true when its beginning last changed; while the beginning holds, the message stays.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from octavo_api.autoscaling_spec import AutoscalingSpec
from octavo_api.names import METRIC_HPA_KV_USAGE, METRIC_HPA_WAITING, ConditionType, Reason
from octavo_api.spec import InferenceService
from octavo_operator.autoscaler_seen import HpaView, Said
from octavo_operator.observed import Observed, Refusal
from octavo_operator.verdict import Verdict

FIRST_SAMPLES = timedelta(seconds=45)
"""An HPA looks each 15 s: so long after the first replica is ready a metric may still be missing."""
KEDA_METRICS = {METRIC_HPA_KV_USAGE: "s0-prometheus", METRIC_HPA_WAITING: "s1-prometheus"}
"""How KEDA numbers the triggers of our ScaledObject."""
NO_API = ("no custom metrics API", "the server could not find the requested resource")
"""The HPA controller's words where nobody serves custom.metrics.k8s.io."""


def autoscaling_verdicts(
    observed: Observed, refusals: tuple[Refusal, ...], now: datetime
) -> dict[ConditionType, Verdict]:
    verdict = autoscaling_active(observed, refusals, now)
    return {} if verdict is None else {ConditionType.AUTOSCALING_ACTIVE: verdict}


def autoscaling_active(observed: Observed, refusals: tuple[Refusal, ...], now: datetime) -> Verdict | None:
    """None without spec.autoscaling."""
    service = observed.service
    if service is None or (spec := service.autoscaling) is None:
        return None
    kind = "HorizontalPodAutoscaler" if spec.provider == "HPA" else "ScaledObject"
    title = f"{kind} {service.name}"
    for refusal in refusals:
        if refusal.child == title:
            return Verdict("False", refusal.reason, f"{title}: {refusal.message}")
    if spec.provider == "KEDA" and (trouble := _trouble_of_keda(observed, title)) is not None:
        return trouble
    hpa = observed.autoscaler.hpa
    if hpa is None:
        return Verdict("Unknown", Reason.AUTOSCALER_STARTING, f"{title} is being taken up")
    return _of_hpa(observed, service, spec, hpa, now)


def _trouble_of_keda(observed: Observed, title: str) -> Verdict | None:
    if observed.defaults.prometheus_url is None:
        return Verdict(
            "False",
            Reason.PROMETHEUS_NOT_CONFIGURED,
            "spec.autoscaling.provider KEDA needs a Prometheus: start the operator with --prometheus-url "
            "(OCTAVO_PROMETHEUS_URL), or use provider HPA",
        )
    if not observed.autoscaler.is_keda_served:
        return Verdict(
            "False",
            Reason.KEDA_NOT_INSTALLED,
            "the cluster has no ScaledObjects (keda.sh/v1alpha1): install KEDA, or use provider HPA",
        )
    scaled_object = observed.autoscaler.of_kind("ScaledObject")
    ready = Said.of((scaled_object or {}).get("status") or {}, "Ready")
    if ready.status == "False":
        message = f"{title}: {ready.reason}: {ready.message}; replicas stay as they are"
        return Verdict("False", Reason.METRICS_UNAVAILABLE, message)
    return None


def _of_hpa(
    observed: Observed, service: InferenceService, spec: AutoscalingSpec, hpa: HpaView, now: datetime
) -> Verdict:
    title = f"HorizontalPodAutoscaler {hpa.name}"
    if service.replicas == 0:
        return Verdict("True", Reason.SCALED_TO_ZERO, _at_zero(spec))
    if hpa.able.status == "False":
        return Verdict("False", Reason.SCALING_FAILED, f"{title}: {hpa.able.reason}: {hpa.able.message}")
    if hpa.active.reason == "ScalingDisabled" or not hpa.active.status:
        return Verdict("Unknown", Reason.AUTOSCALER_STARTING, f"{title} has not looked at the replicas yet")
    if hpa.active.status != "True":
        return _without_metrics(observed, hpa.active, title, now)
    targets = (
        f"{spec.kv_cache_percent} % of the KV cache and {spec.waiting_requests} waiting requests a replica"
    )
    if (hpa.limited.status, hpa.limited.reason) == ("True", "TooManyReplicas"):
        facts = (
            f"the load asks for more than spec.autoscaling.maxReplicas ({spec.max_replicas}) at targets of "
            f"{targets}; raise it, or requests wait"
        )
        return _with_figures(observed, Verdict("True", Reason.LIMITED_BY_MAXIMUM, facts), hpa)
    facts = f"{title} wants {hpa.desired_replicas} replicas ({spec.min_replicas} to {spec.max_replicas})"
    active = Verdict("True", Reason.SCALING_ACTIVE, f"{facts} at targets of {targets}")
    return _with_figures(observed, active, hpa)


def _at_zero(spec: AutoscalingSpec) -> str:
    if spec.idle_seconds is None:
        return "spec.replicas is 0: the autoscaler rests until it is 1 or more"
    idle = f"no request came for {spec.idle_seconds} s (spec.autoscaling.idleSeconds)"
    return f"{idle}; the next one starts a replica"


def _without_metrics(observed: Observed, said: Said, title: str, now: datetime) -> Verdict:
    if any(words in said.message for words in NO_API):
        return Verdict(
            "False",
            Reason.MISSING_METRICS_API,
            f"{title} has no metrics, and replicas stay as they are: the cluster serves no "
            "custom.metrics.k8s.io; add manifests/metrics-api to the operator's kustomization, or install "
            "prometheus-adapter with the rules in manifests/prometheus-adapter",
        )
    if first_samples_by(observed, now) is not None:
        return Verdict(
            "Unknown", Reason.AUTOSCALER_STARTING, f"{title} waits for the first replica's metrics"
        )
    return Verdict(
        "False",
        Reason.METRICS_UNAVAILABLE,
        f"{title} cannot scale, and replicas stay as they are: {said.reason}: {said.message}; see kubectl "
        "get apiservice v1beta2.custom.metrics.k8s.io, and what serves it",
    )


def first_samples_by(observed: Observed, now: datetime) -> timedelta | None:
    """How long a missing metric is no trouble yet; None when it is one."""
    available = observed.status.condition(ConditionType.AVAILABLE)
    if available is None or available.reason != Reason.AVAILABLE or available.status != "True":
        return FIRST_SAMPLES
    left = datetime.fromisoformat(available.last_transition_time) + FIRST_SAMPLES - now
    return left if left > timedelta(0) else None


def _with_figures(observed: Observed, verdict: Verdict, hpa: HpaView) -> Verdict:
    beginning = f"{verdict.message}; when it began to: "
    before = observed.status.condition(ConditionType.AUTOSCALING_ACTIVE)
    if before is not None and before.message.startswith(beginning):
        return Verdict(verdict.status, verdict.reason, before.message)
    kv_cache, waiting = (
        hpa.averages.get(name, hpa.averages.get(KEDA_METRICS[name]))
        for name in (METRIC_HPA_KV_USAGE, METRIC_HPA_WAITING)
    )
    figures = f"{_text(kv_cache, 100)} % of the KV cache and {_text(waiting)} waiting"
    return Verdict(verdict.status, verdict.reason, beginning + figures)


def _text(value: Decimal | None, scale: int = 1) -> str:
    return "unknown" if value is None else f"{float(value) * scale:.3g}"
