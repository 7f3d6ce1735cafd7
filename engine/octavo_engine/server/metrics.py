"""Prometheus metrics under vLLM's names, so that dashboards and autoscalers made for it work here.

vLLM renamed some over time; both names are exported: `gpu_cache_usage_perc`, for one, is old.
"""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Literal, Self

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from octavo_engine.messages import EngineInfo, EngineStats, FinishReason, TokensReady
from octavo_engine.server.lifecycle import Lifecycle

ENGINE_INDEX = "0"
LABELS = ("model_name", "engine")
# vLLM's own buckets: seconds to the first token, between tokens, and of a whole request.
TTFT_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_LATENCY_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST_BUCKETS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
# 1-2-5 steps. The model's context is unknown when the server begins to listen, so they go up to 1M.
TOKEN_COUNT_BUCKETS = (*(float(m * 10**e) for e in range(6) for m in (1, 2, 5)), 1e6)
CHOICE_COUNT_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0)


class Metrics:
    """One registry a server: no process-wide state."""

    def __init__(self, model_name: str, lifecycle: Lifecycle) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(EngineCollector(model_name, lifecycle))
        self._label_values = (model_name, ENGINE_INDEX)
        self._finished = Counter(
            "vllm:request_success", "Finished requests.", (*LABELS, "finished_reason"), registry=self.registry
        )
        self.time_to_first_token = self._histogram(
            "time_to_first_token_seconds", "Arrival to first token.", TTFT_BUCKETS
        )
        self.inter_token_latency = self._histogram(
            "inter_token_latency_seconds", "Time between tokens.", TOKEN_LATENCY_BUCKETS
        )
        self.inter_token_latency_old_name = self._histogram(
            "time_per_output_token_seconds", "Old name of inter_token_latency_seconds.", TOKEN_LATENCY_BUCKETS
        )
        self.time_per_output_token = self._histogram(
            "request_time_per_output_token_seconds",
            "Mean time a token after the first, of a request.",
            TOKEN_LATENCY_BUCKETS,
        )
        self.request_latency = self._histogram(
            "e2e_request_latency_seconds", "Arrival to the last token.", REQUEST_BUCKETS
        )
        self.prompt_tokens = self._histogram(
            "request_prompt_tokens", "Prompt tokens of a request.", TOKEN_COUNT_BUCKETS
        )
        self.generation_tokens = self._histogram(
            "request_generation_tokens", "Tokens generated for a request.", TOKEN_COUNT_BUCKETS
        )
        self.params_max_tokens = self._histogram(
            "request_params_max_tokens", "max_tokens of a request.", TOKEN_COUNT_BUCKETS
        )
        self.params_n = self._histogram("request_params_n", "n of a request.", CHOICE_COUNT_BUCKETS)

    def _histogram(self, name: str, help: str, buckets: Iterable[float]) -> Histogram:
        histogram = Histogram(f"vllm:{name}", help, LABELS, buckets=tuple(buckets), registry=self.registry)
        labelled: Histogram = histogram.labels(*self._label_values)
        return labelled

    def finished(self, reason: FinishReason) -> None:
        self._finished.labels(*self._label_values, reason).inc()


class RequestTimer:
    """Observes one sequence from arrival to end; leaving the block without a finish reason is an abort."""

    def __init__(
        self, metrics: Metrics, arrival_time: float, *, num_prompt_tokens: int, num_resumed_tokens: int = 0
    ) -> None:
        self._metrics = metrics
        self._arrival_time = arrival_time
        self._num_prompt_tokens = num_prompt_tokens
        self._first_token_time: float | None = None
        self._last_token_time = arrival_time
        self._num_resumed = self._num_generated = num_resumed_tokens
        self.finish_reason: Literal["stop", "length", "error"] | None = None

    def tokens_arrived(self, message: TokensReady) -> None:
        new = message.num_generated_tokens - self._num_generated
        if new <= 0:
            return
        now = time.monotonic()
        if self._first_token_time is None:
            self._first_token_time = now
            self._metrics.time_to_first_token.observe(now - self._arrival_time)
        else:
            latency = (now - self._last_token_time) / new
            for _ in range(new):
                self._metrics.inter_token_latency.observe(latency)
                self._metrics.inter_token_latency_old_name.observe(latency)
        self._last_token_time = now
        self._num_generated = message.num_generated_tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        metrics = self._metrics
        if self.finish_reason is None and isinstance(error, Exception):
            self.finish_reason = "error"
        metrics.finished(self.finish_reason or "abort")
        metrics.request_latency.observe(time.monotonic() - self._arrival_time)
        metrics.prompt_tokens.observe(self._num_prompt_tokens)
        num_generated_here = self._num_generated - self._num_resumed
        metrics.generation_tokens.observe(num_generated_here)
        if self._first_token_time is not None and num_generated_here > 1:
            seconds = self._last_token_time - self._first_token_time
            metrics.time_per_output_token.observe(seconds / (num_generated_here - 1))


class EngineCollector(Collector):
    """Reads the engine at the moment of the scrape.

    The gauges that autoscalers scale on are absent while the server is not ready: a pod that loads or
    drains would pull the mean of the fleet towards zero.
    """

    def __init__(self, model_name: str, lifecycle: Lifecycle) -> None:
        self._label_values = (model_name, ENGINE_INDEX)
        self._lifecycle = lifecycle

    def collect(self) -> Iterator[Metric]:
        model = self._lifecycle.loaded_model
        if model is None:
            return
        stats = model.engine.stats()
        yield from self._counters(stats)
        yield self._cache_config(model.engine.info)
        if self._lifecycle.is_ready:
            yield from self._gauges(stats)

    def _gauges(self, stats: EngineStats) -> Iterator[Metric]:
        usage = stats.num_used_blocks / stats.num_blocks if stats.num_blocks else 0.0
        for name, help, value in (
            ("num_requests_running", "Requests in the batch.", stats.num_running),
            ("num_requests_waiting", "Requests that wait to run.", stats.num_waiting),
            ("kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.", usage),
            ("gpu_cache_usage_perc", "Old name of kv_cache_usage_perc.", usage),
        ):
            gauge = GaugeMetricFamily(f"vllm:{name}", help, labels=LABELS)
            gauge.add_metric(self._label_values, value)
            yield gauge

    def _counters(self, stats: EngineStats) -> Iterator[Metric]:
        for name, help, value in (
            ("prompt_tokens", "Prompt tokens computed or taken from the cache.", stats.prompt_tokens),
            ("generation_tokens", "Tokens generated.", stats.generation_tokens),
            ("num_preemptions", "Requests sent back to wait for blocks.", stats.num_preemptions),
            ("prefix_cache_queries", "Tokens looked up in the prefix cache.", stats.prefix_cache_queries),
            ("prefix_cache_hits", "Tokens found in the prefix cache.", stats.prefix_cache_hits),
            ("gpu_prefix_cache_queries", "Old name of prefix_cache_queries.", stats.prefix_cache_queries),
            ("gpu_prefix_cache_hits", "Old name of prefix_cache_hits.", stats.prefix_cache_hits),
        ):
            counter = CounterMetricFamily(f"vllm:{name}", help, labels=LABELS)
            counter.add_metric(self._label_values, value)
            yield counter

    def _cache_config(self, info: EngineInfo) -> Metric:
        described = {
            "block_size": str(info.block_size),
            "num_gpu_blocks": str(info.num_blocks),
            "cache_dtype": info.dtype,
        }
        gauge = GaugeMetricFamily(
            "vllm:cache_config_info", "The KV cache's shape.", labels=(*LABELS, *described)
        )
        gauge.add_metric((*self._label_values, *described.values()), 1)
        return gauge
