"""`octavo serve`: load one model and serve it over HTTP."""

import argparse
import contextlib
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
    from octavo_engine.serve import ServeCommand

SUMMARY = "load one model and serve it over HTTP"
DESCRIPTION = """\
Load one model and serve it: /v1/chat/completions, /v1/completions, /v1/models, /health, /ready, /metrics.
SIGTERM lets open requests finish, then exits."""
EPILOG = """\
examples:
  octavo serve --model ./smollm2 --served-model-name smollm2
  octavo serve --model hf://HuggingFaceTB/SmolLM2-135M-Instruct --port 9000

then:
  curl -s localhost:8000/ready
  curl -s localhost:8000/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model": "smollm2", "messages": [{"role": "user", "content": "Hello!"}]}'

exit codes: 0 told to stop; 64 a flag; 65 the model's files; 66 memory; 67 model not found;
  68 the hub refused access; 69 the accelerator; 75 the hub could not be reached
environment: HF_TOKEN, HF_ENDPOINT, HF_HOME are the model hub's token, address and cache
"""


def add_flags(serve: argparse.ArgumentParser) -> None:
    model = serve.add_argument_group("model")
    model.add_argument("--model", required=True, metavar="SOURCE", help=SOURCE_HELP)
    add_model_flags(model)
    add_engine_flags(serve.add_argument_group("engine"))
    server = serve.add_argument_group("server")
    add_server_flags(server)
    server.add_argument("--termination-log", type=Path, metavar="FILE",
                        help="write the reason here when serving is impossible")  # fmt: skip


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from octavo_engine.errors import InvalidEngineConfig
    from octavo_engine.logs import set_up_logging

    set_up_logging(options.log_level)
    try:
        command = serve_command(options, environment)
    except InvalidEngineConfig as error:
        sys.stderr.write(f"octavo serve: {error}\n")
        if options.termination_log is not None:
            with contextlib.suppress(OSError):  # the reason is said above already
                options.termination_log.write_text(str(error), encoding="utf-8")
        return error.exit_code
    from octavo_engine.serve import serve

    return serve(command)


def serve_command(options: argparse.Namespace, environment: Mapping[str, str]) -> "ServeCommand":
    from octavo_engine.serve import ServeCommand

    return ServeCommand(
        source=options.model,
        hub=hub_access(environment),
        engine=engine_config(options, seed=options.seed),
        server=server_settings(options),
        termination_log=options.termination_log,
    )
