"""`python -m octavo_engine.bench --model DIR`: what `make bench` runs."""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from octavo_engine.bench.environment import describe
from octavo_engine.bench.measure import measure_batch, measure_burst
from octavo_engine.bench.picture import check_can_draw, draw
from octavo_engine.bench.result import BenchResult, read_result, to_json
from octavo_engine.bench.table import comparison_text, result_text
from octavo_engine.config import EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.errors import EngineError
from octavo_engine.llm import LLM
from octavo_engine.logs import set_up_logging

EXAMPLES = """\
examples:
  python -m octavo_engine.bench --model ./smollm2 --out .octavo/bench
  python -m octavo_engine.bench --model ./smollm2 --batch 1 16 --no-picture --compare before/bench.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    set_up_logging("warning")
    try:
        _bench(options)
    except EngineError as error:
        _say(str(error))
        return error.exit_code
    return 0


def _bench(options: argparse.Namespace) -> None:
    is_drawn = options.out is not None and not options.no_picture
    if is_drawn:
        check_can_draw()
    former = None if options.compare is None else read_result(options.compare)
    _say(f"loading {options.model}")
    core = LLM(_config(options)).core
    result = _measure(core, options)
    sys.stdout.write(to_json(result) if options.json else result_text(result))
    if former is not None:
        sys.stdout.write("\n" + comparison_text(result, former))
    if options.out is not None:
        _keep(result, options.out, is_drawn=is_drawn)


def _measure(core: EngineCore, options: argparse.Namespace) -> BenchResult:
    _say("warming up")  # allocators and kernels
    measure_batch(core, 1, options.prompt_tokens, 4, _dice(options.seed, "warm-up"))
    batches = []
    for batch in options.batch:
        _say(f"batch of {batch}")
        dice = _dice(options.seed, f"batch {batch}")
        batches.append(measure_batch(core, batch, options.prompt_tokens, options.output_tokens, dice))
    _say("burst")
    burst = measure_burst(core, _dice(options.seed, "burst"))
    return BenchResult(environment=describe(options.model, core.info), batches=tuple(batches), burst=burst)


def _dice(seed: int, part: str) -> random.Random:
    """Each part has dice of its own: the burst is the same whichever batches came before it."""
    return random.Random(f"{seed} {part}")  # noqa: S311  token ids, not secrets


def _config(options: argparse.Namespace) -> EngineConfig:
    return EngineConfig(
        model=ModelConfig(path=options.model, dtype=options.dtype),
        scheduler=SchedulerConfig(max_num_batched_tokens=options.max_num_batched_tokens),
        device=options.device,
    )


def _keep(result: BenchResult, folder: Path, *, is_drawn: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(to_json(result), encoding="utf-8")
    (folder / "bench.txt").write_text(result_text(result), encoding="utf-8")
    if is_drawn:
        draw(result, folder / "bench.png")
    _say(f"kept in {folder}: {', '.join(sorted(path.name for path in folder.glob('bench.*')))}")


def _say(message: str) -> None:
    sys.stderr.write(f"bench: {message}\n")
    sys.stderr.flush()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be at least 1")
    return number


def _at_least_two(text: str) -> int:
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text}: decoding begins with the second token, so give at least 2")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m octavo_engine.bench",
        description="Measure how fast the engine is here: batches of equal requests, then a burst of 64 "
        "requests of random lengths.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, required=True, help="a folder in the Hugging Face layout")
    parser.add_argument("--dtype", default="auto", choices=("auto", "bfloat16", "float16", "float32"))
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--batch", type=_positive, nargs="+", default=[1, 8, 32, 64], metavar="N")
    parser.add_argument("--prompt-tokens", type=int, default=128, metavar="N", help="default 128")
    parser.add_argument("--output-tokens", type=_at_least_two, default=64, metavar="N", help="default 64")
    parser.add_argument("--max-num-batched-tokens", type=int, default=512, metavar="N", help="default 512")
    parser.add_argument("--seed", type=int, default=0, help="of prompts and lengths (default 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep table, JSON and picture here")
    parser.add_argument("--no-picture", action="store_true")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="a former bench.json: print ratios")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
