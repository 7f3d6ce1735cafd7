from datetime import UTC, datetime

import pytest

from octavo_operator.metrics_api.exposition import read_gauges
from octavo_operator.metrics_api.samples import Gauges

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PAGE = """\
# HELP vllm:num_requests_waiting Requests that wait to run.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="a \\"b\\"",engine="0"} 3.0
vllm:num_requests_waiting_total{model_name="a",engine="0"} 99.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name="a",engine="0"} 0.25
vllm:time_to_first_token_seconds_bucket{le="0.1"} 12
"""


def test_the_two_gauges_are_read_and_nothing_else() -> None:
    assert read_gauges(PAGE, NOW) == Gauges(kv_usage=0.25, waiting=3.0, at=NOW)


def test_engines_behind_one_port_wait_together_and_are_as_full_as_their_mean() -> None:
    second = 'vllm:num_requests_waiting{engine="1"} 1\nvllm:kv_cache_usage_perc{engine="1"} 0.75\n'
    assert read_gauges(PAGE + second, NOW) == Gauges(kv_usage=0.5, waiting=4.0, at=NOW)


@pytest.mark.parametrize(
    "page",
    [
        "",
        "up 1\n",
        "vllm:num_requests_waiting 1\n",
        "vllm:kv_cache_usage_perc 1\n",
        "vllm:num_requests_waiting NaN\nvllm:kv_cache_usage_perc 0.1\n",
        "vllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc -1\n",
        "vllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc +Inf\n",
    ],
)
def test_without_both_gauges_the_engine_does_not_serve(page: str) -> None:
    assert read_gauges(page, NOW) is None


def test_a_page_that_is_broken_is_an_error() -> None:
    with pytest.raises(ValueError):
        read_gauges("vllm:num_requests_waiting{ x\n", NOW)
