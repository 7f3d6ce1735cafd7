"""`python -m octavo_engine.bench --model DIR`: tokens a second of this engine on this machine.

Prompts are random token ids, new ones for every row, so that no prefix is cached. First tokens and decode
are measured apart: the first is a step over all prompts, the second what follows.
"""

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from octavo_engine.config import EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.llm import LLM
from octavo_engine.messages import AddRequest, EngineInfo, SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One batch size. All rates are tokens a second over the whole batch."""

    batch: int
    prompt_tokens: int
    first_token_seconds: float
    prefill_rate: float
    decode_rate: float


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    llm = LLM(
        EngineConfig(
            model=ModelConfig(path=options.model, dtype=options.dtype),
            scheduler=SchedulerConfig(max_num_batched_tokens=options.max_num_batched_tokens),
            device=options.device,
        )
    )
    dice = random.Random(options.seed)  # noqa: S311  token ids, not secrets
    _measure(llm.core, 1, options.prompt_tokens, 4, dice)  # warms up allocators and kernels
    results = [
        _measure(llm.core, batch, options.prompt_tokens, options.max_tokens, dice) for batch in options.batch
    ]
    sys.stdout.write(_json(llm.core.info, results) if options.json else _table(llm.core.info, results))
    return 0


def _measure(
    core: EngineCore, batch: int, num_prompt_tokens: int, max_tokens: int, dice: random.Random
) -> Result:
    sampling = SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)
    for index in range(batch):
        prompt = tuple(dice.randrange(core.info.vocab_size) for _ in range(num_prompt_tokens))
        refusal = core.add(
            AddRequest(request_id=str(index), prompt_token_ids=prompt, sampling=sampling, arrival_time=0.0)
        )
        if refusal is not None:
            raise SystemExit(refusal.error)
    started = time.perf_counter()
    waiting_for_first = {str(index) for index in range(batch)}
    while waiting_for_first:
        waiting_for_first -= {message.request_id for message in core.step()}
    first, num_before = time.perf_counter(), core.stats().generation_tokens
    while core.has_work():
        core.step()
    ended = time.perf_counter()
    return Result(
        batch=batch,
        prompt_tokens=num_prompt_tokens,
        first_token_seconds=first - started,
        prefill_rate=batch * num_prompt_tokens / (first - started),
        decode_rate=(core.stats().generation_tokens - num_before) / (ended - first),
    )


def _table(info: EngineInfo, results: Sequence[Result]) -> str:
    lines = [
        f"{info.device}, {info.dtype}, {info.num_blocks} blocks of {info.block_size} tokens",
        "batch  prompt tokens  all first tokens after  prefill tok/s  decode tok/s",
    ]
    lines += [
        f"{result.batch:5}  {result.prompt_tokens:13}  {result.first_token_seconds:20.2f} s  "
        f"{result.prefill_rate:13.0f}  {result.decode_rate:12.1f}"
        for result in results
    ]
    return "\n".join(lines) + "\n"


def _json(info: EngineInfo, results: Sequence[Result]) -> str:
    engine = {"device": info.device, "dtype": info.dtype, "block_size": info.block_size}
    return json.dumps({"engine": engine, "results": [asdict(result) for result in results]}) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m octavo_engine.bench", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a folder in the Hugging Face layout")
    parser.add_argument("--dtype", default="auto", choices=("auto", "bfloat16", "float16", "float32"))
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--max-num-batched-tokens", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
