"""What the gateway counts, in a Prometheus registry of its own."""

from collections.abc import Callable, Container, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from octavo_gateway.admission import Wait
from octavo_gateway.routing import ContinuationOutcome

_PREFIX = "octavo_gateway"
# The engine's buckets, so that the two can be laid over each other.
_FIRST_TOKEN_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0),
)
_PER_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

Waiting = Callable[[], Iterable[tuple[str, Wait, int]]]


class Metrics:
    """The data path's and admission's recorder."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", help, labels, registry=self.registry)

        def histogram(name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
            labels = ("service", "revision")
            return Histogram(f"{_PREFIX}_{name}", help, labels, buckets=buckets, registry=self.registry)

        self._requests = counter("requests", "Answered requests.", "service", "revision", "code")
        self._errors = counter(
            "errors",
            "Requests that failed through no fault of the client: 5xx, and 599 for a broken stream.",
            "service",
            "revision",
        )
        self._first_token = histogram(
            "time_to_first_token_seconds", "Arrival to first event, waits included.", _FIRST_TOKEN_SECONDS
        )
        self._per_token = histogram(
            "time_per_output_token_seconds", "Mean time between a stream's tokens.", _PER_TOKEN_SECONDS
        )
        self._waits = {
            "parked": counter("parked", "Requests that waited because no replica was routable.", "service"),
            "queued": counter("queued", "Requests that waited because all replicas were full.", "service"),
        }
        self._refused = counter("refused", "Requests that admission turned away.", "service", "code")
        self._retried = counter(
            "retried", "Tries on another replica before the first byte.", "service", "reason"
        )
        self._continued = counter(
            "continued", "Streams whose replica went away in the middle.", "service", "outcome"
        )
        self._prompt_tokens = counter(
            "prompt_tokens", "Prompt tokens by the client's API key.", "service", "key"
        )
        self._completion_tokens = counter(
            "completion_tokens", "Generated tokens by the client's API key.", "service", "key"
        )
        self._of_services: tuple[MetricWrapperBase, ...] = (
            *(self._requests, self._errors, self._first_token, self._per_token, *self._waits.values()),
            *(self._refused, self._retried, self._continued, self._prompt_tokens, self._completion_tokens),
        )
        self._replicas = Gauge(f"{_PREFIX}_replicas", "Ready gateway replicas.", registry=self.registry)

    def watch(self, waiting: Waiting, num_gateways: Callable[[], int]) -> None:
        """What is read at the moment of a scrape."""
        self.registry.register(_WaitingNow(waiting))
        self._replicas.set_function(num_gateways)

    def forget_all_but(self, services: Container[str]) -> None:
        """Series of services that are gone."""
        for metric in self._of_services:
            for sample in [sample for family in metric.collect() for sample in family.samples]:
                if (service := sample.labels["service"]) not in services:
                    metric.remove_by_labels({"service": service})

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def finished(self, service: str, revision: str, status: int) -> None:
        self._requests.labels(service, revision, str(status)).inc()
        if status >= 500:
            self._errors.labels(service, revision).inc()

    def first_token(self, service: str, revision: str, seconds: float) -> None:
        self._first_token.labels(service, revision).observe(seconds)

    def per_token(self, service: str, revision: str, seconds: float) -> None:
        self._per_token.labels(service, revision).observe(seconds)

    def retried(self, service: str, reason: str) -> None:
        self._retried.labels(service, reason).inc()

    def continued(self, service: str, outcome: ContinuationOutcome) -> None:
        self._continued.labels(service, outcome).inc()

    def usage(self, service: str, tenant: str, prompt_tokens: int, completion_tokens: int) -> None:
        self._prompt_tokens.labels(service, tenant).inc(prompt_tokens)
        self._completion_tokens.labels(service, tenant).inc(completion_tokens)

    def waited(self, service: str, wait: Wait) -> None:
        self._waits[wait].labels(service).inc()

    def refused(self, service: str, code: str) -> None:
        self._refused.labels(service, code).inc()


class _WaitingNow(Collector):
    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily(
            f"{_PREFIX}_waiting_requests",
            "Requests that wait now, by what they wait for.",
            labels=("service", "reason"),
        )
        for service, wait, number in self._waiting():
            gauge.add_metric((service, wait), number)
        yield gauge
