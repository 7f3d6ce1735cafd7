"""`octavo check`: will it fit and run here?"""

import argparse
import json
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
from octavo_engine.commands.server_flags import add_server_flags, server_settings

if TYPE_CHECKING:
    from octavo_engine.check.place import Place
    from octavo_engine.check.report import Report
    from octavo_engine.config import EngineConfig

MAX_TERMINATION_BYTES = 4096
"""What Kubernetes keeps of a termination message."""
MAX_VERDICT_CHARS = 512  # JSON writes a character in six bytes at most

SUMMARY = "say whether a model fits and runs here"
DESCRIPTION = """\
Say whether a model can be served on this machine with these flags, how long a context it then has, and how
many requests run at once. Weights are not read, and of an hf:// model not even downloaded: configuration,
tokenizer and the heads of the weight files are enough. Give the flags that `octavo serve` will get: it takes
all of them. With --elsewhere it asks for another machine, and says what of that it could not check."""
EPILOG = """\
examples:
  octavo check ./smollm2
  octavo check hf://HuggingFaceTB/SmolLM2-135M-Instruct --dtype float32 --max-model-len 4096
  octavo check ./smollm2 --json | jq .capacity.max_model_len
  octavo check ./smollm2 --elsewhere --device cpu --memory-limit 1073741824
  octavo check ./smollm2 --elsewhere --device cuda --accelerator-memory 25769803776

exit codes: 0 it fits, as far as was checked; else what `octavo serve` would exit with: 64 a flag; 65 the
  model's files; 66 memory; 67 model not found; 68 the hub refused access; 69 the accelerator; 75 the hub
  could not be reached
environment: HF_TOKEN, HF_ENDPOINT, HF_HOME are the model hub's token, address and cache
"""


def add_flags(check: argparse.ArgumentParser) -> None:
    model = check.add_argument_group("model")
    source = model.add_mutually_exclusive_group(required=True)
    # Without a default of its own, or its absence would undo --model.
    source.add_argument("model", nargs="?", default=argparse.SUPPRESS, metavar="MODEL", help=SOURCE_HELP)
    source.add_argument("--model", metavar="SOURCE", help="the same, as `octavo serve` takes it")
    add_model_flags(model)
    add_engine_flags(check.add_argument_group("engine"))
    place = check.add_argument_group("where the engine will run (default: here)")
    place.add_argument("--elsewhere", action="store_true",
                       help="read nothing off this machine: what is not given is not checked")  # fmt: skip
    place.add_argument("--memory-limit", type=int, metavar="BYTES",
                       help="of its container; counts where it computes on a CPU")  # fmt: skip
    place.add_argument("--accelerator-memory", type=int, metavar="BYTES", help="of its GPU")
    output = check.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    output.add_argument("--termination-log", type=Path, metavar="FILE",
                        help="write the verdict here too: a sentence, or with --json the object")  # fmt: skip
    add_server_flags(check.add_argument_group("server (these change nothing here, but must be right)"))


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from octavo_engine.check.table import report_text
    from octavo_engine.errors import InvalidEngineConfig

    try:
        config = engine_config(options)
        server_settings(options)
        place = _place(options)
    except InvalidEngineConfig as error:
        sys.stderr.write(f"octavo check: {error}\n")
        _write_termination_log(options.termination_log, str(error))
        return error.exit_code
    report = _check(options, config, place, environment)
    sys.stdout.write(f"{json.dumps(report.to_json())}\n" if options.json else report_text(report))
    _write_termination_log(
        options.termination_log, termination_json(report) if options.json else report.verdict
    )
    return report.exit_code


def _place(options: argparse.Namespace) -> "Place":
    from octavo_engine.check.place import Place

    return Place(
        elsewhere=options.elsewhere,
        memory_limit=options.memory_limit,
        accelerator_memory=options.accelerator_memory,
    )


def _check(
    options: argparse.Namespace, config: "EngineConfig", place: "Place", environment: Mapping[str, str]
) -> "Report":
    from octavo_engine.check.verdict import check_model
    from octavo_engine.machine import read_machine

    return check_model(
        options.model,
        config,
        hub=hub_access(environment),
        machine=read_machine(),
        read_memory=lambda: place.memory(config.device),
    )


def termination_json(report: "Report") -> str:
    """The whole report, or where Kubernetes would cut that off, what matters most of it."""
    fields = report.to_json()
    whole = json.dumps(fields)
    if len(whole) <= MAX_TERMINATION_BYTES:
        return whole
    kept = {name: fields[name] for name in ("schema", "fits", "exit_code")}
    return json.dumps({**kept, "verdict": report.verdict[:MAX_VERDICT_CHARS]})


def _write_termination_log(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.write_bytes(text.encode()[:MAX_TERMINATION_BYTES])
    except OSError as error:
        sys.stderr.write(f"octavo check: --termination-log cannot be written: {error}\n")
