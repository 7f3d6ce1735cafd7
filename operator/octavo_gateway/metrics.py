"""What the gateway counts, in a Prometheus registry of its own."""

from collections.abc import Callable, Container, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from octavo_gateway.admission import Wait
from octavo_gateway.routing import BreakReason, ContinuationOutcome
from octavo_gateway.tally import Tallies

_PREFIX = "octavo_gateway"

Waiting = Callable[[], Iterable[tuple[str, Wait, int]]]


class Metrics:
    """The data path's and admission's recorder."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tallies = Tallies()
        self.registry.register(_OfRevisions(self.tallies))

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", help, labels, registry=self.registry)

        self._waits = {
            "parked": counter("parked", "Requests that waited because no replica was routable.", "service"),
            "queued": counter("queued", "Requests that waited because all replicas were full.", "service"),
        }
        self._refused = counter("refused", "Requests that admission turned away.", "service", "code")
        self._prompt_tokens = counter(
            "prompt_tokens", "Prompt tokens by the client's API key.", "service", "key"
        )
        self._completion_tokens = counter(
            "completion_tokens", "Generated tokens by the client's API key.", "service", "key"
        )
        self._of_services: tuple[MetricWrapperBase, ...] = (
            *(*self._waits.values(), self._refused, self._prompt_tokens, self._completion_tokens),
        )
        self._replicas = Gauge(f"{_PREFIX}_replicas", "Ready gateway replicas.", registry=self.registry)

    def watch(self, waiting: Waiting, num_gateways: Callable[[], int]) -> None:
        """What is read at the moment of a scrape."""
        self.registry.register(_WaitingNow(waiting))
        self._replicas.set_function(num_gateways)

    def forget_all_but(self, services: Container[str]) -> None:
        """Series of services that are gone."""
        self.tallies.forget_all_but(services)
        for metric in self._of_services:
            for sample in [sample for family in metric.collect() for sample in family.samples]:
                if (service := sample.labels["service"]) not in services:
                    metric.remove_by_labels({"service": service})

    def forget_revisions_but(self, alive: Container[tuple[str, str]], now: float) -> None:
        """Series of revisions that have been gone for long."""
        self.tallies.forget_revisions_but(alive, now)

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def finished(self, service: str, revision: str, status: int) -> None:
        self.tallies.of(service, revision).answers[status] += 1

    def first_token(self, service: str, revision: str, seconds: float) -> None:
        self.tallies.of(service, revision).first_token.observe(seconds)

    def per_token(self, service: str, revision: str, seconds: float) -> None:
        self.tallies.of(service, revision).per_token.observe(seconds)

    def retried(self, service: str, revision: str, reason: str) -> None:
        self.tallies.of(service, revision).retries[reason] += 1

    def continued(
        self, service: str, revision: str, reason: BreakReason, outcome: ContinuationOutcome
    ) -> None:
        self.tallies.of(service, revision).breaks[reason, outcome] += 1

    def usage(self, service: str, tenant: str, prompt_tokens: int, completion_tokens: int) -> None:
        self._prompt_tokens.labels(service, tenant).inc(prompt_tokens)
        self._completion_tokens.labels(service, tenant).inc(completion_tokens)

    def waited(self, service: str, wait: Wait) -> None:
        self._waits[wait].labels(service).inc()

    def refused(self, service: str, code: str) -> None:
        self._refused.labels(service, code).inc()


class _OfRevisions(Collector):
    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        def counter(name: str, help: str, *labels: str) -> CounterMetricFamily:
            labels = ("service", "revision", *labels)
            return CounterMetricFamily(f"{_PREFIX}_{name}", help, labels=labels)

        def histogram(name: str, help: str) -> HistogramMetricFamily:
            return HistogramMetricFamily(f"{_PREFIX}_{name}", help, labels=("service", "revision"))

        requests = counter("requests", "Answered requests.", "code")
        errors = counter(
            "errors", "Requests that failed through no fault of the client: 5xx, and 599 for a broken stream."
        )
        retried = counter("retried", "Tries of a revision that gave no answer and were made again.", "reason")
        continued = counter(
            "continued", "Streams of a revision whose replica went away in the middle.", "reason", "outcome"
        )
        first_token = histogram(
            "time_to_first_token_seconds",
            "Arrival to first event of a stream, or to the client's leaving before it; waits included.",
        )
        per_token = histogram(
            "time_per_output_token_seconds", "Mean time between the tokens of a stream from one replica."
        )
        for service, revision, tally in self._tallies:
            names = (service, revision)
            for status, number in tally.answers.items():
                requests.add_metric((*names, str(status)), number)
            if tally.answers:
                errors.add_metric(names, tally.num_failed_answers)
            for reason, number in tally.retries.items():
                retried.add_metric((*names, reason), number)
            for (why, outcome), number in tally.breaks.items():
                continued.add_metric((*names, why, outcome), number)
            for family, durations in ((first_token, tally.first_token), (per_token, tally.per_token)):
                if durations.total:
                    family.add_metric(names, durations.coarse(), durations.sum)
        yield from (requests, errors, retried, continued, first_token, per_token)


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
