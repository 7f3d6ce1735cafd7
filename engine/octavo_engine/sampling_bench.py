"""`python -m octavo_engine.sampling_bench`: milliseconds that a step's sampling takes on this machine's CPU.

Every setting runs over two kinds of logits. "peaked" are like a language model's: some hundred likely tokens
above a long tail. "flat" are normally distributed: a nucleus is most of the vocabulary, the worst case.
Figures are medians; "best" is the quickest step, which tells more where other work shares the machine. The
reference is PyTorch's, which runs on a CPU without compiled kernels.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from octavo_engine.worker.host_limits import num_usable_cpus
from octavo_kernels.native.library import NativeLibrary, load_native
from octavo_kernels.sampling import SamplingRows, SamplingSlots, sample

PENALTIES = {"presence_penalty": 0.4, "frequency_penalty": 0.3, "repetition_penalty": 1.1}
SETTINGS: dict[str, dict[str, float]] = {
    "greedy": {"temperature": 0},
    "temperature": {"temperature": 0.8},
    "top-p": {"temperature": 0.8, "top_p": 0.95},
    "top-k": {"temperature": 0.8, "top_k": 50},
    "top-k, top-p": {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
    "min-p": {"temperature": 0.8, "min_p": 0.05},
    "penalties": {"temperature": 0.8, "top_p": 0.95, **PENALTIES},
    "5 logprobs": {"temperature": 0.8, "top_p": 0.95, "num_logprobs": 5},
}
NUM_KNOWN_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    logits: str
    settings: str
    native: "Timing | None"
    """None where there are no compiled kernels."""
    reference: "Timing | None"
    """None where it was not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds a step."""

    median: float
    best: float


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    library = load_native(options.threads, instruction_set=options.instruction_set)
    dice = np.random.default_rng(options.seed)
    results = []
    for kind in options.logits:
        logits = _logits(kind, options.rows, options.vocab_size, dice)
        for name, settings in SETTINGS.items():
            rows = _rows(options.rows, options.vocab_size, dice, settings)
            results.append(
                Result(
                    logits=kind,
                    settings=name,
                    native=None if library is None else _time(options.repeats, logits, rows, library),
                    reference=None if options.native_only else _time(options.repeats, logits, rows, None),
                )
            )
    conditions = {
        "rows": options.rows,
        "vocab_size": options.vocab_size,
        "threads": options.threads,
        "instruction_set": None if library is None else library.instruction_set.name,
    }
    if options.json:
        report = {"conditions": conditions, "results": [asdict(result) for result in results]}
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write(_table(conditions, results))
    return 0


def _time(repeats: int, logits: Tensor, rows: SamplingRows, library: NativeLibrary | None) -> Timing:
    sample(logits, rows, library)  # warms caches and allocators
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        sample(logits, rows, library)
        times.append((time.perf_counter() - started) * 1000)
    return Timing(median=statistics.median(times), best=min(times))


def _logits(kind: str, count: int, vocab_size: int, dice: np.random.Generator) -> Tensor:
    logits = dice.standard_normal((count, vocab_size), dtype=np.float32)
    if kind == "peaked":
        logits = logits * 2.5 - 5
        likely = dice.random(logits.shape) < 200 / vocab_size
        logits[likely] += dice.exponential(4.0, int(likely.sum())).astype(np.float32)
    return torch.from_numpy(logits)


def _rows(count: int, vocab_size: int, dice: np.random.Generator, settings: dict[str, float]) -> SamplingRows:
    def each(name: str, default: float, dtype: Any = np.float32) -> Any:
        return np.full(count, settings.get(name, default), dtype=dtype)

    slots = SamplingSlots(
        temperature_S=each("temperature", 1),
        top_p_S=each("top_p", 1),
        top_k_S=each("top_k", 0, np.int32),
        min_p_S=each("min_p", 0),
        presence_penalty_S=each("presence_penalty", 0),
        frequency_penalty_S=each("frequency_penalty", 0),
        repetition_penalty_S=each("repetition_penalty", 1),
        seed_S=dice.integers(0, 2**63, count).astype(np.uint64),
        num_logprobs_S=each("num_logprobs", -1, np.int32),
        token_SL=dice.integers(0, vocab_size, (count, NUM_KNOWN_TOKENS)).astype(np.int32),
        num_tokens_S=np.full(count, NUM_KNOWN_TOKENS, dtype=np.int32),
        num_prompt_tokens_S=np.full(count, NUM_KNOWN_TOKENS // 2, dtype=np.int32),
    )
    return SamplingRows(
        slots=slots,
        slot_N=np.arange(count, dtype=np.int32),
        num_generated_N=np.full(count, NUM_KNOWN_TOKENS // 2, dtype=np.int64),
        banned_NK=None,
    )


def _table(conditions: dict[str, Any], results: Sequence[Result]) -> str:
    def figures(timing: Timing | None) -> str:
        return f"{'-':>8} {'-':>8}" if timing is None else f"{timing.median:8.2f} {timing.best:8.2f}"

    lines = [
        "{rows} rows, {vocab_size} words, {threads} threads, kernels for {instruction_set}; ms a step".format(
            **conditions
        ),
        "logits  settings       native     best  reference  best",
    ]
    lines += [
        f"{result.logits:6}  {result.settings:12} {figures(result.native)}   {figures(result.reference)}"
        for result in results
    ]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m octavo_engine.sampling_bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=64, help="sequences that decode together (%(default)s)")
    parser.add_argument("--vocab-size", type=int, default=32000, metavar="WORDS", help="(%(default)s)")
    parser.add_argument(
        "--threads", type=int, default=num_usable_cpus(), help="(%(default)s, this machine's)"
    )
    parser.add_argument("--instruction-set", metavar="NAME", help="avx2, avx512 or avx512bf16; else the best")
    parser.add_argument("--logits", nargs="+", choices=("peaked", "flat"), default=["peaked", "flat"])
    parser.add_argument("--native-only", action="store_true", help="leave out the reference, which is slow")
    parser.add_argument("--repeats", type=int, default=20, help="steps for each figure (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
