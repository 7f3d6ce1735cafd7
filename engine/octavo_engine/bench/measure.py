"""Runs requests through an engine's core and takes the time of every token.

Prompts are random token ids, new ones for every run, so that no prefix is cached.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from octavo_engine.bench.result import BatchResult, BurstResult, Latency
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.messages import AddRequest, SamplingParams

BURST_REQUESTS = 64
BURST_PROMPT_TOKENS = (16, 256)
BURST_OUTPUT_TOKENS = (16, 128)


@dataclass(slots=True)
class Trace:
    """Moments, in seconds from the start, at which one request's tokens came."""

    times: list[float] = field(default_factory=list)

    def gaps(self, after: float = 0.0) -> list[float]:
        """Between neighbours of which the earlier came at `after` or later."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return [later - earlier for earlier, later in pairs if earlier >= after]


def measure_batch(
    core: EngineCore, batch: int, prompt_tokens: int, output_tokens: int, dice: random.Random
) -> BatchResult:
    traces = _run(core, [(prompt_tokens, output_tokens)] * batch, dice)
    firsts = [trace.times[0] for trace in traces]
    started, ended = max(firsts), max(trace.times[-1] for trace in traces)
    num_decoded = sum(moment > started for trace in traces for moment in trace.times)
    return BatchResult(
        batch=batch,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        first_token=latency(firsts),
        between_tokens=latency([gap for trace in traces for gap in trace.gaps(after=started)]),
        prefill_rate=batch * prompt_tokens / started,
        decode_rate=num_decoded / (ended - started),
    )


def measure_burst(core: EngineCore, dice: random.Random, requests: int = BURST_REQUESTS) -> BurstResult:
    sizes = [
        (dice.randint(*BURST_PROMPT_TOKENS), dice.randint(*BURST_OUTPUT_TOKENS)) for _ in range(requests)
    ]
    traces = _run(core, sizes, dice)
    seconds = max(trace.times[-1] for trace in traces)
    output_tokens = sum(len(trace.times) for trace in traces)
    return BurstResult(
        requests=requests,
        prompt_tokens=sum(prompt_tokens for prompt_tokens, _ in sizes),
        output_tokens=output_tokens,
        seconds=seconds,
        output_rate=output_tokens / seconds,
        first_token=latency([trace.times[0] for trace in traces]),
        between_tokens=latency([gap for trace in traces for gap in trace.gaps()]),
    )


def latency(seconds: Sequence[float]) -> Latency:
    """Each percentile is a value that occurred: the smallest that so many percent do not exceed."""
    ordered = sorted(seconds)

    def percentile(percent: int) -> float:
        return 1000 * ordered[-(-len(ordered) * percent // 100) - 1]

    return Latency(p50=percentile(50), p99=percentile(99))


def _run(core: EngineCore, sizes: Sequence[tuple[int, int]], dice: random.Random) -> list[Trace]:
    traces = {str(index): Trace() for index in range(len(sizes))}
    for index, (prompt_tokens, output_tokens) in enumerate(sizes):
        refusal = core.add(_request(core, str(index), prompt_tokens, output_tokens, dice))
        if refusal is not None:
            raise InvalidEngineConfig(f"{refusal.error}: lower --prompt-tokens or --output-tokens")
    started = time.perf_counter()
    while core.has_work():
        messages = core.step()
        now = time.perf_counter() - started
        for message in messages:
            traces[message.request_id].times += [now] * len(message.token_ids)
    return list(traces.values())


def _request(
    core: EngineCore, request_id: str, prompt_tokens: int, output_tokens: int, dice: random.Random
) -> AddRequest:
    return AddRequest(
        request_id=request_id,
        prompt_token_ids=tuple(dice.randrange(core.info.vocab_size) for _ in range(prompt_tokens)),
        sampling=SamplingParams(max_tokens=output_tokens, temperature=0.0, ignore_eos=True),
        arrival_time=time.monotonic(),
    )
