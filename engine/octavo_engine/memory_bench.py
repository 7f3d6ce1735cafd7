"""`python -m octavo_engine.memory_bench`: how well a burst of requests fills the KV cache.

The core alone, with an executor that has no model: which blocks are held does not depend on what is in them.
Prompts are lognormal about 120 tokens and answers about 170, both at most 1024; the scheduler does not know
how long an answer will be. After every step: the tokens whose keys and values are in the cache, by the tokens
for which the held blocks have room, a block that several requests share counting once.

"Contiguous" is the memory that an engine without paging would reserve: for each sequence the longest that it
may become, prompt limit and answer limit together.
"""

import argparse
import json
import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.instant_executor import END_TOKEN, InstantExecutor
from octavo_engine.messages import AddRequest, EngineInfo, SamplingParams

VOCAB_SIZE = 32_000
MEDIAN_PROMPT, MEDIAN_ANSWER, SPREAD = 120, 170, 0.8
LONGEST = 1024

EXAMPLES = """\
examples:
  python -m octavo_engine.memory_bench
  python -m octavo_engine.memory_bench --requests 64 512 --block-size 32
  python -m octavo_engine.memory_bench --system-tokens 256     # all prompts begin alike
  python -m octavo_engine.memory_bench --cache-tokens 16384 --json

reading it: `used` is the mean share of the held blocks' room that has tokens in it, over all steps; `at once`
is how many sequences ran together, at most and on average while others waited; `again` is how many tokens
were computed a second time after a preemption, as a share of all.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One burst."""

    requests: int
    steps: int
    used: float
    used_at_least: float
    most_at_once: int
    mean_at_once: float
    contiguous_at_once: int
    preemptions: int
    computed_again: float


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    results = [measure(number, options) for number in options.requests]
    sys.stdout.write(_json(results) if options.json else _table(results, options))
    return 0


def measure(num_requests: int, options: argparse.Namespace) -> Result:
    executor = InstantExecutor()
    core = _core(executor, options)
    num_needed = _add_requests(core, num_requests, options)
    used: list[float] = []
    at_once: list[int] = []
    most_at_once = 0
    while core.has_work():
        core.step()
        stats = core.stats()
        most_at_once = max(most_at_once, stats.num_running)
        if stats.num_running:
            used.append(_share_in_use(core))
        if stats.num_waiting:
            at_once.append(stats.num_running)
    stats = core.stats()
    return Result(
        requests=num_requests,
        steps=stats.num_steps,
        used=statistics.mean(used),
        used_at_least=min(used),
        most_at_once=most_at_once,
        mean_at_once=statistics.mean(at_once) if at_once else float(most_at_once),
        contiguous_at_once=options.cache_tokens // (options.system_tokens + 2 * LONGEST),
        preemptions=stats.num_preemptions,
        computed_again=executor.num_tokens / (num_needed - stats.prefix_cache_hits) - 1,
    )


def _share_in_use(core: EngineCore) -> float:
    """A block with several holders is full, and each of them counts its tokens."""
    slots, pool = core.scheduler.slots, core.scheduler.cache.pool
    num_counted_again = int((pool.num_holders_B.clip(min=1) - 1).sum()) * core.info.block_size
    num_tokens = int(slots.num_computed_S[slots.order_R].sum()) - num_counted_again
    return num_tokens / (pool.num_used * core.info.block_size)


def _core(executor: InstantExecutor, options: argparse.Namespace) -> EngineCore:
    info = EngineInfo(
        max_model_len=options.system_tokens + 2 * LONGEST,
        vocab_size=VOCAB_SIZE,
        block_size=options.block_size,
        num_blocks=options.cache_tokens // options.block_size,
        dtype="bfloat16",
        device="none",
        eos_token_ids=(END_TOKEN,),
    )
    return EngineCore(info, SchedulerConfig(), executor)


def _add_requests(core: EngineCore, num_requests: int, options: argparse.Namespace) -> int:
    """How many tokens there are to compute, without any sharing."""
    dice = random.Random(options.seed)  # noqa: S311  token ids, not secrets
    system = tuple(dice.randrange(VOCAB_SIZE) for _ in range(options.system_tokens))
    num_needed = 0
    for index in range(num_requests):
        own = tuple(dice.randrange(VOCAB_SIZE) for _ in range(_length(dice, MEDIAN_PROMPT)))
        answer = _length(dice, MEDIAN_ANSWER)
        refusal = core.add(
            AddRequest(
                request_id=str(index),
                prompt_token_ids=system + own,
                sampling=SamplingParams(max_tokens=LONGEST, seed=answer),
                arrival_time=0.0,
            )
        )
        if refusal is not None:
            raise SystemExit(refusal.error)
        num_needed += len(system) + len(own) + answer - 1
    return num_needed


def _length(dice: random.Random, median: int) -> int:
    return max(1, min(LONGEST, round(median * math.exp(dice.gauss(0, SPREAD)))))


def _table(results: Sequence[Result], options: argparse.Namespace) -> str:
    lines = [
        f"{options.cache_tokens} tokens of KV cache in blocks of {options.block_size}, "
        f"{options.system_tokens} tokens of common prompt",
        "requests  steps   used  at least  at once: most  mean  contiguous  preemptions   again",
        *(
            f"{r.requests:8d}  {r.steps:5d}  {r.used:5.1%}  {r.used_at_least:8.1%}  {r.most_at_once:13d}  "
            f"{r.mean_at_once:4.0f}  {r.contiguous_at_once:10d}  {r.preemptions:11d}  {r.computed_again:6.1%}"
            for r in results
        ),
    ]
    return "\n".join(lines) + "\n"


def _json(results: Sequence[Result]) -> str:
    return json.dumps({"results": [asdict(result) for result in results]}) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m octavo_engine.memory_bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, nargs="+", default=[64, 128, 256, 512], help="in the burst")
    parser.add_argument("--block-size", type=int, default=16, choices=(16, 32))
    parser.add_argument("--cache-tokens", type=int, default=32768, help="the memory (default 32768 tokens)")
    parser.add_argument("--system-tokens", type=int, default=0, help="that all prompts begin with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
