"""What the operator counts of itself, in a Prometheus registry of its own.

Labels are kinds, verbs, codes and reasons, never names: their number does not grow with the cluster.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from octavo_api.informer import Informer
from octavo_operator.observed import GatewayKey, Key
from octavo_operator.rollout_record import RolloutEnd
from octavo_operator.work_queue import VisitOutcome

_PREFIX = "octavo_operator"
_VISIT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
_WAIT_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", help, labels, registry=self.registry)

        def gauge(name: str, help: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", help, registry=self.registry)

        self._visit_seconds = Histogram(
            f"{_PREFIX}_reconcile_seconds",
            "Duration of a reconcile.",
            ("kind",),
            buckets=_VISIT_SECONDS,
            registry=self.registry,
        )
        self._wait_seconds = Histogram(
            f"{_PREFIX}_queue_wait_seconds",
            "From the event, or the time for which it was planned, to the beginning of a reconcile.",
            buckets=_WAIT_SECONDS,
            registry=self.registry,
        )
        self._visits = counter("reconciles", "Reconciles by how they ended.", "kind", "outcome")
        self._requests = counter(
            "api_requests",
            "Requests to the API server, without kopf's own; code 0: no answer.",
            "verb",
            "resource",
            "code",
        )
        self._rollouts = counter("rollouts", "Rollouts that ended, by how.", "outcome")
        self._rollbacks = counter("rollbacks", "Automatic rollbacks, by reason.", "reason")
        self._queue_depth = gauge("queue_depth", "Keys that wait, also for a later time, or are reconciled.")
        self._is_leader = gauge("is_leader", "1 for the replica that acts, 0 for a stand-by.")

    def watch(
        self,
        *,
        queue_depth: Callable[[], int],
        is_leader: Callable[[], bool],
        informers: tuple[Informer, ...],
        services: Informer,
    ) -> None:
        """What is read at the moment of a scrape."""
        self._queue_depth.set_function(queue_depth)
        self._is_leader.set_function(is_leader)
        self.registry.register(_Caches(informers, services))

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def visited(self, key: Key, outcome: VisitOutcome, waited: float, took: float) -> None:
        kind = "Gateway" if isinstance(key, GatewayKey) else "InferenceService"
        self._visits.labels(kind, outcome).inc()
        self._visit_seconds.labels(kind).observe(took)
        self._wait_seconds.observe(waited)

    def api_answered(self, method: str, path: str, status: int) -> None:
        self._requests.labels(*_verb_and_resource(method, path), str(status)).inc()

    def rollout_ended(self, end: RolloutEnd) -> None:
        self._rollouts.labels(end.outcome).inc()
        if end.outcome == "rolled_back":
            self._rollbacks.labels(end.reason).inc()


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "WATCH": "watch"}


def _verb_and_resource(method: str, path: str) -> tuple[str, str]:
    """As roles name them; a subresource as in "inferenceservices/status"."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    plural, name, subresource = (*rest, "", "", "")[:3]
    verb = _VERBS.get(method) or ("get" if name else "list")
    return verb, f"{plural}/{subresource}" if subresource else plural


class _Caches(Collector):
    def __init__(self, informers: tuple[Informer, ...], services: Informer) -> None:
        self._informers = informers
        self._services = services

    def collect(self) -> Iterator[Metric]:
        restarts: Tally[str] = Tally()
        for informer in self._informers:
            restarts[informer.resource.plural] += max(0, informer.num_watches - 1)
        counter = CounterMetricFamily(
            f"{_PREFIX}_watch_restarts",
            "Watches that were opened again, whatever ended them.",
            labels=("resource",),
        )
        for resource, number in sorted(restarts.items()):
            counter.add_metric((resource,), number)
        yield counter
        phases = Tally((item.get("status") or {}).get("phase") or "Pending" for item in self._services.all())
        gauge = GaugeMetricFamily(
            f"{_PREFIX}_inference_services", "InferenceServices by status.phase.", labels=("phase",)
        )
        for phase, number in sorted(phases.items()):
            gauge.add_metric((phase,), number)
        yield gauge
