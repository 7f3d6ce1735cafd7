"""The autoscaler of an InferenceService: a HorizontalPodAutoscaler on metrics of its pods, or KEDA's object.

Its target is the InferenceService itself, so that one number spans all revisions.
"""

from octavo_api.autoscaling_spec import AutoscalingSpec
from octavo_api.names import API_VERSION, KIND, METRIC_HPA_KV_USAGE, METRIC_HPA_WAITING
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.metadata import child_metadata
from octavo_operator.render.scaled_object import scaled_object
from octavo_operator.render.scaling_behavior import scaling_behavior


def autoscaler(
    service: InferenceService, start_seconds: int, *, rolling: bool, prometheus_url: str | None
) -> tuple[Manifest, ...]:
    """One object; none where spec.autoscaling is absent, or asks for KEDA and there is no Prometheus.

    `start_seconds` is 0 while it is not known. While `rolling` no replica is taken away.
    """
    spec = service.autoscaling
    if spec is None:
        return ()
    behavior = scaling_behavior(spec, start_seconds, rolling=rolling)
    if spec.provider == "HPA":
        return (_pod_autoscaler(service, spec, behavior),)
    return () if prometheus_url is None else (scaled_object(service, spec, behavior, prometheus_url),)


def _pod_autoscaler(service: InferenceService, spec: AutoscalingSpec, behavior: Manifest) -> Manifest:
    """It never goes to zero: that, and the way back, the operator decides by the gateways' requests."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": child_metadata(service, service.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": API_VERSION, "kind": KIND, "name": service.name},
            "minReplicas": max(1, spec.min_replicas),
            "maxReplicas": spec.max_replicas,
            "metrics": [
                _pods_metric(METRIC_HPA_KV_USAGE, spec.kv_cache_percent * 10),
                _pods_metric(METRIC_HPA_WAITING, spec.waiting_requests * 1000),
            ],
            "behavior": behavior,
        },
    }


def _pods_metric(name: str, target_milli: int) -> Manifest:
    """Desired is the sum over the pods with a sample, divided by the target and rounded up."""
    # As the API server writes it back: whole numbers without a suffix.
    whole, rest = divmod(target_milli, 1000)
    value = f"{target_milli}m" if rest else str(whole)
    target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}
