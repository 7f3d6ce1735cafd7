"""KEDA's ScaledObject: the same targets, from a Prometheus.

KEDA makes an HPA on External metrics of it. Those know no pods: with AverageValue the replicas are the
query's result divided by the threshold, so each query is a sum over the replicas and never a mean. Replicas
that load have no series and add nothing.

The series are found by the labels `namespace` and `pod` that Prometheus gives to what it scrapes of a pod,
and the gateway's by its own label `service` (a PodMonitor keeps it; elsewhere honorLabels does).
"""

from octavo_api.autoscaling_spec import AutoscalingSpec
from octavo_api.names import API_VERSION, KIND, METRIC_KV_USAGE, METRIC_WAITING
from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.metadata import child_metadata

GATEWAY_WAITING = "octavo_gateway_waiting_requests"
GATEWAY_REQUESTS = "octavo_gateway_requests_total"
POLLING_SECONDS = 5
"""How soon KEDA sees at zero that a request waits; Prometheus' own interval comes on top."""
NEVER = 1_000_000_000
"""A threshold that asks for one replica whatever the traffic."""


def scaled_object(
    service: InferenceService, spec: AutoscalingSpec, behavior: Manifest, prometheus_url: str
) -> Manifest:
    body: Manifest = {
        "scaleTargetRef": {"apiVersion": API_VERSION, "kind": KIND, "name": service.name},
        "minReplicaCount": spec.min_replicas,
        "maxReplicaCount": spec.max_replicas,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
        "triggers": _triggers(service, spec, prometheus_url),
    }
    if spec.idle_seconds is not None:
        body |= {
            "pollingInterval": POLLING_SECONDS,
            "cooldownPeriod": spec.idle_seconds,
            "initialCooldownPeriod": spec.idle_seconds,
        }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": child_metadata(service, service.name),
        "spec": body,
    }


def _triggers(service: InferenceService, spec: AutoscalingSpec, prometheus_url: str) -> list[Manifest]:
    """Each that is above zero keeps the service from zero, or brings it back."""
    # A pod's name is service-revision-replicaset-pod; another service's name cannot match all four.
    pods = f'{{namespace="{service.namespace}",pod=~"{service.name}-[0-9a-f]{{8}}-[a-z0-9]+-[a-z0-9]{{5}}"}}'
    requests = f'{{namespace="{service.namespace}",service="{service.name}"}}'
    in_engines, in_gateways = f"sum({METRIC_WAITING}{pods})", f"sum({GATEWAY_WAITING}{requests})"
    # Either may have no series: at zero there are no engines. The gateways' part wakes the service.
    waiting = f"({in_engines} or vector(0)) + ({in_gateways} or vector(0))"
    kv_cache = f"sum({METRIC_KV_USAGE}{pods})"
    triggers = [
        _trigger("kv-cache", kv_cache, f"{spec.kv_cache_percent / 100:g}", prometheus_url),
        _trigger("waiting", waiting, str(spec.waiting_requests), prometheus_url),
    ]
    if spec.idle_seconds is not None:
        # Short requests are over before a scrape can see them run: what counts them tells that they came.
        answered = f"sum(increase({GATEWAY_REQUESTS}{requests}[2m]))"
        triggers.append(_trigger("requests", answered, str(NEVER), prometheus_url))
    return triggers


def _trigger(name: str, query: str, threshold: str, prometheus_url: str) -> Manifest:
    return {
        "type": "prometheus",
        "name": name,
        "metricType": "AverageValue",
        "metadata": {"serverAddress": prometheus_url, "query": query, "threshold": threshold},
    }
