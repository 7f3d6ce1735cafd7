"""`python -m octavo_engine.host_bench`: what a decode step costs the host beside the model.

Counted: `EngineCore.step()` - scheduling, block tables, the batch's flat arrays, taking tokens in, indexing
full blocks for the prefix cache, the messages - minus the time inside the executor.
Not counted: the executor, so neither the model, logits and sampling nor the worker's copy of the arrays to
its device; the server's detokenising and HTTP. The executor here has no model: it answers every row at once.
The collector of garbage stays on, and messages live as long as in the server: until the next ones.

Every sequence starts with a prompt of its own, of a random length, so that some rows cross the end of a block
in each step as in real traffic. Steps of prefill, and the first steps of decode, are not counted.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.instant_executor import END_TOKEN, InstantExecutor
from octavo_engine.messages import AddRequest, EngineInfo, SamplingParams

VOCAB_SIZE = 32_000
MAX_PROMPT_TOKENS = 240
NUM_WARM_UP_STEPS = 16

EXAMPLES = """\
examples:
  python -m octavo_engine.host_bench
  python -m octavo_engine.host_bench --sequences 1 64 256 --steps 400 --depth 2
  python -m octavo_engine.host_bench --json

reading it: `median` is what a step costs typically; `p99` has steps in which many rows begin a new block, and
collections of garbage. A shared machine adds noise to all but `least`; run it twice.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Milliseconds of a decode step outside the executor."""

    sequences: int
    steps: int
    least: float
    median: float
    p99: float


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    results = [measure(number, options) for number in options.sequences]
    sys.stdout.write(_json(results) if options.json else _table(results, options))
    return 0


def measure(num_sequences: int, options: argparse.Namespace) -> Result:
    executor = InstantExecutor()
    core = _core(num_sequences, executor, options)
    _add_requests(core, num_sequences, options)
    while core.scheduler.admission.waiting or len(core.step()) < num_sequences:
        core.step()
    for _ in range(NUM_WARM_UP_STEPS):
        core.step()
    seconds = []
    for _ in range(options.steps):
        executor.seconds = 0.0
        started = time.perf_counter()
        messages = core.step()
        seconds.append(time.perf_counter() - started - executor.seconds)
        assert len(messages) == num_sequences, "a sequence ended while it was measured"
    return Result(
        sequences=num_sequences,
        steps=options.steps,
        least=1e3 * min(seconds),
        median=1e3 * statistics.median(seconds),
        p99=1e3 * statistics.quantiles(seconds, n=100)[98],
    )


def _core(num_sequences: int, executor: InstantExecutor, options: argparse.Namespace) -> EngineCore:
    max_model_len = MAX_PROMPT_TOKENS + _max_tokens(options)
    info = EngineInfo(
        max_model_len=max_model_len,
        vocab_size=VOCAB_SIZE,
        block_size=options.block_size,
        num_blocks=-(-max_model_len // options.block_size) * (num_sequences + 1),
        dtype="bfloat16",
        device="none",
        eos_token_ids=(END_TOKEN,),
    )
    config = SchedulerConfig(max_num_seqs=max(num_sequences, 256))
    return EngineCore(info, config, executor, depth=options.depth)


def _add_requests(core: EngineCore, num_sequences: int, options: argparse.Namespace) -> None:
    dice = random.Random(0)  # noqa: S311  token ids, not secrets
    for index in range(num_sequences):
        length = dice.randint(1, MAX_PROMPT_TOKENS)
        refusal = core.add(
            AddRequest(
                request_id=f"cmpl-{index}",
                prompt_token_ids=tuple(dice.randrange(VOCAB_SIZE) for _ in range(length)),
                sampling=SamplingParams(max_tokens=_max_tokens(options), seed=2**62),
                arrival_time=0.0,
            )
        )
        assert refusal is None


def _max_tokens(options: argparse.Namespace) -> int:
    """Enough for the first sequence to decode until the last one's prompt is computed, and for the steps."""
    most_sequences: int = max(options.sequences)
    longest_wait = most_sequences * MAX_PROMPT_TOKENS // SchedulerConfig().max_num_batched_tokens
    num_steps: int = options.steps + NUM_WARM_UP_STEPS + 16 * options.depth
    return num_steps + 2 * longest_wait


def _table(results: Sequence[Result], options: argparse.Namespace) -> str:
    lines = [
        f"host time of a decode step beside the executor; blocks of {options.block_size}, "
        f"{options.depth} in flight, {options.steps} steps",
        "sequences    least ms   median ms      p99 ms",
        *(f"{r.sequences:9d}  {r.least:10.3f}  {r.median:10.3f}  {r.p99:10.3f}" for r in results),
    ]
    return "\n".join(lines) + "\n"


def _json(results: Sequence[Result]) -> str:
    return json.dumps({"results": [asdict(result) for result in results]}) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m octavo_engine.host_bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 64, 256], help="that run at once")
    parser.add_argument("--steps", type=int, default=200, help="decode steps to time (default 200)")
    parser.add_argument("--block-size", type=int, default=16, choices=(16, 32))
    parser.add_argument("--depth", type=int, default=1, help="steps in flight: 1 as on CPU, 2 as on CUDA")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
