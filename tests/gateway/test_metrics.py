"""Numbers by service, revision and key, under names that stay."""

from prometheus_client.parser import text_string_to_metric_families

from octavo_gateway.durations import FIRST_TOKEN
from octavo_gateway.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.page().decode())
    return {
        (sample.name.removeprefix("octavo_gateway_"), *_values(sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created") and "le" not in sample.labels
    }


def _values(labels: dict[str, str]) -> list[str]:
    order = ("service", "revision", "code", "reason", "outcome", "key")
    return [labels[name] for name in order if name in labels]


def test_what_happens_to_requests_is_counted() -> None:
    metrics = Metrics()
    metrics.watch(lambda: [("demo", "parked", 3), ("demo", "queued", 0)], lambda: 2)
    for status in (200, 200, 429, 499, 503, 599):
        metrics.finished("demo", "rev1", status)
    metrics.first_token("demo", "rev1", 0.5)
    metrics.per_token("demo", "rev1", 0.02)
    metrics.retried("demo", "rev1", "connect")
    metrics.continued("demo", "rev1", "broken", "continued")
    metrics.usage("demo", "alice", 10, 20)
    metrics.usage("demo", "alice", 1, 2)
    metrics.waited("demo", "parked")
    metrics.refused("demo", "queue_full")
    assert samples(metrics) == {
        ("requests_total", "demo", "rev1", "200"): 2,
        ("requests_total", "demo", "rev1", "429"): 1,
        ("requests_total", "demo", "rev1", "499"): 1,
        ("requests_total", "demo", "rev1", "503"): 1,
        ("requests_total", "demo", "rev1", "599"): 1,
        ("errors_total", "demo", "rev1"): 2,
        ("time_to_first_token_seconds_count", "demo", "rev1"): 1,
        ("time_to_first_token_seconds_sum", "demo", "rev1"): 0.5,
        ("time_per_output_token_seconds_count", "demo", "rev1"): 1,
        ("time_per_output_token_seconds_sum", "demo", "rev1"): 0.02,
        ("retried_total", "demo", "rev1", "connect"): 1,
        ("continued_total", "demo", "rev1", "broken", "continued"): 1,
        ("prompt_tokens_total", "demo", "alice"): 11,
        ("completion_tokens_total", "demo", "alice"): 22,
        ("parked_total", "demo"): 1,
        ("refused_total", "demo", "queue_full"): 1,
        ("waiting_requests", "demo", "parked"): 3,
        ("waiting_requests", "demo", "queued"): 0,
        ("replicas",): 2,
    }


def test_two_gateways_in_one_process_do_not_share_numbers() -> None:
    one, other = Metrics(), Metrics()
    one.retried("demo", "rev1", "reset")
    assert ("retried_total", "demo", "rev1", "reset") not in samples(other)


def test_a_service_that_is_gone_leaves_no_series() -> None:
    metrics = Metrics()
    for service in ("demo", "gone"):
        metrics.finished(service, "rev1", 503)
        metrics.first_token(service, "rev1", 0.5)
        metrics.usage(service, "alice", 1, 2)
        metrics.waited(service, "queued")
    metrics.forget_all_but({"demo"})
    left = samples(metrics)
    assert ("requests_total", "demo", "rev1", "503") in left
    assert not any("gone" in key for key in left)


def test_a_histogram_counts_up_to_each_bound_and_all_at_the_end() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.02, 0.0200001, 0.3, 3000.0):
        metrics.first_token("demo", "rev1", seconds)
    families = text_string_to_metric_families(metrics.page().decode())
    buckets = {
        sample.labels["le"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "octavo_gateway_time_to_first_token_seconds_bucket"
    }
    assert len(buckets) == len(FIRST_TOKEN.coarse) + 1
    assert {
        bound: buckets[bound] for bound in ("0.001", "0.02", "0.04", "0.25", "0.5", "2560.0", "+Inf")
    } == {
        "0.001": 1,
        "0.02": 2,
        "0.04": 3,
        "0.25": 3,
        "0.5": 4,
        "2560.0": 4,
        "+Inf": 5,
    }
