"""`octavo generate`: answer a file of prompts."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from octavo_engine.commands.engine_flags import (
    SOURCE_HELP,
    add_engine_flags,
    add_model_flags,
    engine_config,
    hub_access,
)

if TYPE_CHECKING:
    from octavo_engine.generate.answer_file import Answer
    from octavo_engine.generate.prompt_file import FilePrompt

EXIT_SOME_FAILED = 1
EXIT_INTERRUPTED = 130  # as a shell reports SIGINT
SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop")

SUMMARY = "answer a file of prompts, without a server"
DESCRIPTION = """\
Answer every prompt of a file and write a line of JSON for each, as soon as it is there:
  {"index": 0, "id": "a", "digest": "...", "text": "...", "finish_reason": "stop", "usage": {...}}
or {"index": 0, "error": "..."} where one could not be answered. When all are done, FILE is in the order of
the prompts. Progress goes to stderr."""
EPILOG = """\
prompts, one a line (blank lines are skipped):
  .txt    the line is the prompt
  .jsonl  {"prompt": "..."} or {"messages": [{"role": "user", "content": "..."}]}; further fields are those
          of the server's requests and go before the flags: {"prompt": "...", "max_tokens": 9, "id": "a"}

examples:
  octavo generate --model ./smollm2 --prompts questions.txt --chat --output answers.jsonl
  octavo generate --model ./smollm2 --prompts questions.jsonl --output answers.jsonl --resume
  echo 'The capital of France is' | octavo generate --model ./smollm2 --prompts - --temperature 0

A line that cannot be read refuses the whole file before the model is loaded. After Ctrl-C, --resume goes on
with the prompts that are missing or failed, and refuses a FILE whose digests tell of another prompt, model or
sampling. The same --seed gives the same answers, however often a job is resumed.

exit codes: 0 all answered; 1 some failed; 130 Ctrl-C; else as of `octavo serve`
"""


def add_flags(generate: argparse.ArgumentParser) -> None:
    model = generate.add_argument_group("model")
    model.add_argument("--model", required=True, metavar="SOURCE", help=SOURCE_HELP)
    add_model_flags(model)

    files = generate.add_argument_group("prompts and answers")
    files.add_argument("--prompts", required=True, metavar="FILE", help=".txt or .jsonl; - is stdin")
    files.add_argument("--output", type=Path, metavar="FILE", help="default: stdout")
    files.add_argument(
        "--resume",
        action="store_true",
        help="keep the answers of --output, add what is missing; give the same prompts and flags",
    )
    files.add_argument("--chat", action="store_true", help="a plain prompt is the user's turn of a chat")

    sampling = generate.add_argument_group("sampling, where a line does not say otherwise")
    sampling.add_argument("--max-tokens", type=int, default=256, metavar="N", help="default 256")
    sampling.add_argument(
        "--temperature", type=float, metavar="T", help="default 1; 0 takes the likeliest token"
    )
    sampling.add_argument("--top-p", type=float, metavar="P", help="default 1")
    sampling.add_argument("--top-k", type=int, metavar="K", help="default: no limit")
    sampling.add_argument(
        "--min-p", type=float, metavar="P", help="share of the likeliest token's probability"
    )
    sampling.add_argument(
        "--repetition-penalty", type=float, metavar="R", help="default 1; above 1 repeats less"
    )
    sampling.add_argument("--stop", nargs="+", metavar="TEXT", help="end an answer before any of these")
    sampling.add_argument("--seed", type=int, default=0, metavar="N",
                          help="prompt i is sampled with N + i (default 0)")  # fmt: skip
    add_engine_flags(generate.add_argument_group("engine"))


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from octavo_engine.errors import EngineError
    from octavo_engine.logs import set_up_logging

    set_up_logging("warning")
    try:
        return _generate(options, environment)
    except EngineError as error:
        sys.stderr.write(f"octavo generate: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"octavo generate: the answers cannot be written: {error}\n")
        return EXIT_SOME_FAILED
    except KeyboardInterrupt:
        remedy = "" if options.output is None else "; --resume goes on from here"
        sys.stderr.write(f"octavo generate: interrupted, what was answered is written{remedy}\n")
        return EXIT_INTERRUPTED


def _generate(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from octavo_engine.generate.answer_file import AnswerWriter, continued, put_in_order
    from octavo_engine.generate.job import run_job

    config = engine_config(options, seed=options.seed)
    prompts = _prompts(options, f"{config.model.path} {config.model.dtype}")
    kept = _kept_answers(options, prompts)
    known = {answer.index for answer in kept}
    prompts = [prompt for prompt in prompts if prompt.index not in known]

    def job(writer: AnswerWriter) -> int:
        return run_job(options.model, hub_access(environment), config, prompts, writer)

    if options.output is None:
        num_failed = job(AnswerWriter(sys.stdout))
    else:
        with continued(options.output, kept) as writer:
            num_failed = job(writer)
        put_in_order(options.output)
    return EXIT_SOME_FAILED if num_failed else 0


def _prompts(options: argparse.Namespace, model: str) -> "list[FilePrompt]":
    from octavo_engine.errors import InvalidEngineConfig
    from octavo_engine.generate.prompt_file import PromptDefaults, read_prompts

    try:
        text = (
            sys.stdin.read() if options.prompts == "-" else Path(options.prompts).read_text(encoding="utf-8")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidEngineConfig(f"--prompts {options.prompts}: cannot be read: {error}") from error
    given = {name: getattr(options, name) for name in SAMPLING if getattr(options, name) is not None}
    defaults = PromptDefaults(sampling=given, model=model, seed=options.seed, as_chat=options.chat)
    return read_prompts(options.prompts, text, defaults)


def _kept_answers(options: argparse.Namespace, prompts: "list[FilePrompt]") -> "list[Answer]":
    from octavo_engine.errors import InvalidEngineConfig
    from octavo_engine.generate.answer_file import answered

    output: Path | None = options.output
    if options.resume and output is None:
        raise InvalidEngineConfig("--resume: needs --output, the file to go on with")
    if output is None or not output.exists():
        return []
    if options.prompts != "-" and output.samefile(options.prompts):
        raise InvalidEngineConfig(f"--output {output}: is the file of the prompts; give another name")
    if not output.stat().st_size:  # a run that failed before its first answer
        return []
    if not options.resume:
        raise InvalidEngineConfig(
            f"--output {output}: exists; go on with it by --resume, or give another name"
        )
    return answered(output, prompts)
