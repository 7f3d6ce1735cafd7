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
    model.add_argument(
        "--served-model-name", nargs="+", metavar="NAME", help="names that requests use (default: SOURCE)"
    )
    add_model_flags(model)

    http = serve.add_argument_group("HTTP")
    http.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    http.add_argument("--port", type=int, default=8000, help="default 8000; 0 picks a free one")
    http.add_argument("--max-waiting-requests", type=int, default=1024, metavar="N",
                      help="beyond those that run; more get 503 (default 1024)")  # fmt: skip
    http.add_argument("--drain-propagation-seconds", type=float, default=0.0, metavar="S",
                      help="go on accepting for so long after a drain begins (default 0)")  # fmt: skip
    http.add_argument("--drain-timeout-seconds", type=float, default=300.0, metavar="S",
                      help="then let open requests run for so long (default 300)")  # fmt: skip
    http.add_argument("--gateway-token-file", type=Path, metavar="FILE",
                      help="answer /v1 only with the token in FILE, which the gateway has")  # fmt: skip

    engine = serve.add_argument_group("engine")
    add_engine_flags(engine)
    engine.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the seeds that requests get without one (default 0)",
    )

    process = serve.add_argument_group("process")
    process.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    process.add_argument("--termination-log", type=Path, metavar="FILE",
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
    from octavo_engine.server.settings import DrainSettings, ServerSettings

    return ServeCommand(
        source=options.model,
        hub=hub_access(environment),
        engine=engine_config(options, seed=options.seed),
        server=ServerSettings(
            served_names=tuple(options.served_model_name or [options.model]),
            host=options.host,
            port=options.port,
            max_running_requests=options.max_num_seqs,
            max_waiting_requests=options.max_waiting_requests,
            drain=DrainSettings(
                propagation_seconds=options.drain_propagation_seconds,
                timeout_seconds=options.drain_timeout_seconds,
            ),
            gateway_token_file=options.gateway_token_file,
        ),
        termination_log=options.termination_log,
    )
