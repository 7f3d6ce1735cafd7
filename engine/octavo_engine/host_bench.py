"""`python -m octavo_engine.host_bench`: what a decode step costs the host beside the CPU kernels.

Counted as `host`: `EngineCore.step()` - scheduling, block tables, the batch's flat arrays, what the worker
makes of them for the kernels, taking tokens in, indexing full blocks for the prefix cache, the messages -
minus the two compiled calls of a step: the model's forward pass with the logits, and sampling. `core` is the
part of it outside the executor.
Not counted: the server's detokenising and HTTP. The collector of garbage stays on, and messages live as long
as in the server: until the next ones.

The model is small (two layers of width 64, random weights), its vocabulary is not: as in real serving, the
kernels push the host's own code and data out of the processor's caches in each step. Every sequence starts
with a prompt of its own, of a random length, so that some rows cross the end of a block in each step. Steps
of prefill, and the first steps of decode, are not counted.
"""

import argparse
import ctypes
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.core.batch import Batch, Executor, Pending
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.load import load_core
from octavo_engine.messages import AddRequest, SamplingParams
from octavo_engine.models.random_model import write_random_llama
from octavo_engine.worker.host_limits import num_usable_cpus
from octavo_kernels.native.library import NativeLibrary, load_native

VOCAB_SIZE = 32_000
MAX_PROMPT_TOKENS = 240
PREFILL_TOKENS = 256
NUM_WARM_UP_STEPS = 16

EXAMPLES = """\
examples:
  python -m octavo_engine.host_bench
  python -m octavo_engine.host_bench --sequences 1 64 256 --steps 400
  python -m octavo_engine.host_bench --json

reading it: `median` is what a step costs typically; `p99` has steps in which many rows begin a new block, and
collections of garbage. A shared machine adds noise to all but `least`; run it twice.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Milliseconds:
    """Of a decode step."""

    least: float
    median: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Milliseconds":
        return cls(
            least=1e3 * min(seconds),
            median=1e3 * statistics.median(seconds),
            p99=1e3 * statistics.quantiles(seconds, n=100)[98],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    sequences: int
    steps: int
    host: Milliseconds
    """Outside the compiled kernels."""
    core: Milliseconds
    """Outside the executor."""
    kernels: Milliseconds


class ClockedLibrary(NativeLibrary):
    """Times the two calls of a step."""

    seconds = 0.0

    def run_program(
        self, operations: ctypes.Array[Any], step: ctypes.Structure, run: ctypes.c_void_p
    ) -> None:
        started = time.perf_counter()
        super().run_program(operations, step, run)
        self.seconds += time.perf_counter() - started

    def sample(self, arguments: ctypes.Structure) -> None:
        started = time.perf_counter()
        super().sample(arguments)
        self.seconds += time.perf_counter() - started


class ClockedExecutor:
    """On a CPU all of a step's work is done in `submit`."""

    def __init__(self, executor: Executor) -> None:
        self.seconds = 0.0
        self._executor = executor

    def submit(self, batch: Batch) -> Pending:
        started = time.perf_counter()
        pending = self._executor.submit(batch)
        self.seconds += time.perf_counter() - started
        return pending


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    native = load_native(num_usable_cpus())
    if native is None:
        sys.stderr.write("host_bench: this machine has no compiled CPU kernels to time the host beside\n")
        return 1
    kernels = ClockedLibrary(native.path, native.instruction_set, native.num_threads)
    with tempfile.TemporaryDirectory() as folder:
        write_random_llama(
            Path(folder), vocab_size=VOCAB_SIZE, max_position_embeddings=_max_model_len(options)
        )
        results = [measure(number, kernels, Path(folder), options) for number in options.sequences]
    sys.stdout.write(_json(results) if options.json else _table(results, options))
    return 0


def measure(num_sequences: int, kernels: ClockedLibrary, model: Path, options: argparse.Namespace) -> Result:
    core = load_core(_config(num_sequences, model, options), native=lambda num_threads: kernels)
    core.executor = executor = ClockedExecutor(core.executor)
    _add_requests(core, num_sequences, options)
    while core.scheduler.admission.waiting or len(core.step()) < num_sequences:
        core.step()
    for _ in range(NUM_WARM_UP_STEPS):
        core.step()
    in_step, in_executor, in_kernels = [], [], []
    for _ in range(options.steps):
        executor.seconds = kernels.seconds = 0.0
        started = time.perf_counter()
        messages = core.step()
        in_step.append(time.perf_counter() - started)
        in_executor.append(executor.seconds)
        in_kernels.append(kernels.seconds)
        assert len(messages) == num_sequences, "a sequence ended while it was measured"
    return Result(
        sequences=num_sequences,
        steps=options.steps,
        host=Milliseconds.of(_difference(in_step, in_kernels)),
        core=Milliseconds.of(_difference(in_step, in_executor)),
        kernels=Milliseconds.of(in_kernels),
    )


def _difference(whole: Sequence[float], part: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(whole, part, strict=True)]


def _config(num_sequences: int, model: Path, options: argparse.Namespace) -> EngineConfig:
    kv_bytes_per_token = 2 * 2 * 2 * 16 * 4  # layers, keys and values, heads, head's width, float32
    room = (_max_model_len(options) + options.block_size) * (num_sequences + 1)
    return EngineConfig(
        model=ModelConfig(path=model, packed_cache=False),
        cache=CacheConfig(block_size=options.block_size, memory_bytes=room * kv_bytes_per_token),
        scheduler=SchedulerConfig(
            max_num_seqs=max(num_sequences, 256), max_num_prefill_tokens=PREFILL_TOKENS
        ),
        device="cpu",
    )


def _add_requests(core: EngineCore, num_sequences: int, options: argparse.Namespace) -> None:
    dice = random.Random(0)  # noqa: S311  token ids, not secrets
    for index in range(num_sequences):
        length = dice.randint(1, MAX_PROMPT_TOKENS)
        refusal = core.add(
            AddRequest(
                request_id=f"cmpl-{index}",
                prompt_token_ids=tuple(dice.randrange(VOCAB_SIZE) for _ in range(length)),
                sampling=SamplingParams(max_tokens=_max_tokens(options), ignore_eos=True),
                arrival_time=0.0,
            )
        )
        assert refusal is None


def _max_model_len(options: argparse.Namespace) -> int:
    return MAX_PROMPT_TOKENS + _max_tokens(options)


def _max_tokens(options: argparse.Namespace) -> int:
    """Enough for the first sequence to decode until the last one's prompt is computed, and for the steps."""
    most_sequences: int = max(options.sequences)
    longest_wait = most_sequences * MAX_PROMPT_TOKENS // PREFILL_TOKENS
    num_steps: int = options.steps + NUM_WARM_UP_STEPS + 16
    return num_steps + 2 * longest_wait


def _table(results: Sequence[Result], options: argparse.Namespace) -> str:
    lines = [
        f"host time of a decode step beside the compiled kernels, in ms; blocks of {options.block_size}, "
        f"{options.steps} steps",
        "sequences   host: least   median      p99   core: median   kernels: median",
        *(
            f"{r.sequences:9d}  {r.host.least:12.3f} {r.host.median:8.3f} {r.host.p99:8.3f}"
            f"  {r.core.median:13.3f}  {r.kernels.median:16.3f}"
            for r in results
        ),
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
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
