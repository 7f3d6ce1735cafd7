"""Flags of the server around the engine; `octavo check` takes them too, as a server would be given them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octavo_engine.server.settings import ServerSettings


def add_server_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--served-model-name", nargs="+", metavar="NAME", help="names that requests use (default: SOURCE)"
    )
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    group.add_argument("--port", type=int, default=8000, help="default 8000; 0 picks a free one")
    group.add_argument("--max-waiting-requests", type=int, default=1024, metavar="N",
                       help="beyond those that run; more get 503 (default 1024)")  # fmt: skip
    group.add_argument("--drain-propagation-seconds", type=float, default=0.0, metavar="S",
                       help="go on accepting for so long after a drain begins (default 0)")  # fmt: skip
    group.add_argument("--drain-timeout-seconds", type=float, default=300.0, metavar="S",
                       help="then let open requests run for so long (default 300)")  # fmt: skip
    group.add_argument("--gateway-token-file", type=Path, metavar="FILE",
                       help="answer /v1 only with the token in FILE, which the gateway has")  # fmt: skip
    group.add_argument("--seed", type=int, default=0, metavar="N",
                       help="of the seeds that requests get without one (default 0)")  # fmt: skip
    group.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")


def server_settings(options: argparse.Namespace) -> "ServerSettings":
    """Raises InvalidEngineConfig."""
    from octavo_engine.server.settings import DrainSettings, ServerSettings

    return ServerSettings(
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
    )
