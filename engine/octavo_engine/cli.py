"""The `octavo` command: flags and environment in, an exit code out.

Heavy imports wait until a command needs them: `octavo drain` runs in a hook that is short of time.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from octavo_engine.config import EngineConfig
    from octavo_engine.serve import ServeCommand

EXIT_BAD_FLAGS = 64  # the number of errors.InvalidEngineConfig

_SERVE_EXAMPLES = """\
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


def main(arguments: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    match options.command:
        case "serve":
            return _serve(options)
        case "drain":
            from octavo_engine.drain import request_drain

            return request_drain(options.port, options.timeout)
        case _:
            return _version()


class _Parser(argparse.ArgumentParser):
    """argparse exits with 2; the operator knows 64 as "a flag is wrong"."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help\n")
        sys.exit(EXIT_BAD_FLAGS)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="octavo", description="Serve large language models as OpenAI's API does.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(
        commands.add_parser(
            "serve",
            help="load one model and serve it over HTTP",
            description="Load one model and serve it: /v1/chat/completions, /v1/completions, /v1/models, "
            "/health, /ready, /metrics. SIGTERM lets open requests finish, then exits.",
            epilog=_SERVE_EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    drain = commands.add_parser("drain", help="let the server of this pod finish (for a preStop hook)")
    drain.add_argument("--port", type=int, default=8000, help="its port (default 8000)")
    drain.add_argument(
        "--timeout", type=float, metavar="S", help="wait at most this long (default: until done)"
    )
    commands.add_parser("version", help="print the version")
    return parser


def _add_serve(serve: argparse.ArgumentParser) -> None:
    model = serve.add_argument_group("model")
    model.add_argument(
        "--model", required=True, metavar="SOURCE", help="a folder, file:///path, or hf://org/name[@revision]"
    )
    model.add_argument(
        "--served-model-name", nargs="+", metavar="NAME", help="names that requests use (default: SOURCE)"
    )
    model.add_argument("--dtype", choices=("auto", "bfloat16", "float16", "float32"), default="auto",
                       help="auto is the checkpoint's own")  # fmt: skip
    model.add_argument(
        "--max-model-len", type=int, metavar="N", help="context in tokens (default: the model's)"
    )

    http = serve.add_argument_group("HTTP")
    http.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    http.add_argument("--port", type=int, default=8000, help="default 8000; 0 picks a free one")
    http.add_argument("--max-waiting-requests", type=int, default=1024, metavar="N",
                      help="beyond those that run; more get 503 (default 1024)")  # fmt: skip
    http.add_argument("--drain-propagation-seconds", type=float, default=0.0, metavar="S",
                      help="go on accepting for so long after a drain begins (default 0)")  # fmt: skip
    http.add_argument("--drain-timeout-seconds", type=float, default=300.0, metavar="S",
                      help="then let open requests run for so long (default 300)")  # fmt: skip

    engine = serve.add_argument_group("engine")
    engine.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    engine.add_argument(
        "--block-size", type=int, default=16, metavar="N", help="tokens a KV block: 8, 16 or 32"
    )
    engine.add_argument("--memory-percent", type=int, default=90, metavar="P",
                        help="share of the device's memory to use (default 90)")  # fmt: skip
    engine.add_argument("--kv-cache-memory", type=int, metavar="BYTES", help="instead of --memory-percent")
    engine.add_argument("--max-num-seqs", type=int, default=256, metavar="N",
                        help="requests that run at once (default 256)")  # fmt: skip
    engine.add_argument("--max-num-batched-tokens", type=int, default=512, metavar="N",
                        help="tokens that one step computes (default 512)")  # fmt: skip
    engine.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for requests without one (default 0)"
    )

    process = serve.add_argument_group("process")
    process.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    process.add_argument("--termination-log", type=Path, metavar="FILE",
                         help="write the reason here when serving is impossible")  # fmt: skip


def _serve(options: argparse.Namespace) -> int:
    from octavo_engine.errors import InvalidEngineConfig
    from octavo_engine.logs import set_up_logging

    set_up_logging(options.log_level)
    try:
        command = _serve_command(options)
    except InvalidEngineConfig as error:
        sys.stderr.write(f"octavo serve: {error}\n")
        if options.termination_log is not None:
            options.termination_log.write_text(str(error), encoding="utf-8")
        return error.exit_code
    from octavo_engine.serve import serve

    return serve(command)


def _serve_command(options: argparse.Namespace) -> "ServeCommand":
    from octavo_engine.serve import ServeCommand
    from octavo_engine.server.settings import DrainSettings, ServerSettings
    from octavo_engine.sources import HubAccess

    return ServeCommand(
        source=options.model,
        hub=HubAccess(
            endpoint=os.environ.get("HF_ENDPOINT") or None, token=os.environ.get("HF_TOKEN") or None
        ),
        engine=_engine_config(options),
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
        ),
        termination_log=options.termination_log,
    )


def _engine_config(options: argparse.Namespace) -> "EngineConfig":
    from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig

    return EngineConfig(
        model=ModelConfig(path=Path(options.model), dtype=options.dtype, max_model_len=options.max_model_len),
        cache=CacheConfig(
            block_size=options.block_size,
            memory_percent=options.memory_percent,
            memory_bytes=options.kv_cache_memory,
        ),
        scheduler=SchedulerConfig(
            max_num_seqs=options.max_num_seqs, max_num_batched_tokens=options.max_num_batched_tokens
        ),
        device=options.device,
        seed=options.seed,
    )


def _version() -> int:
    from importlib.metadata import version

    print(f"octavo {version('octavo')}")
    return 0
