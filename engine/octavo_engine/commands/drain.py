"""`octavo drain`: the flags of what a pod's preStop hook runs."""

import argparse
from collections.abc import Mapping

SUMMARY = "let the server of this pod finish (for a preStop hook)"
DESCRIPTION = "Ask the server on this machine to finish its open requests, and wait until it has."
EPILOG = "exit codes: 0 drained, or still draining when the time was up; 1 no server, or it refused"


def add_flags(drain: argparse.ArgumentParser) -> None:
    drain.add_argument("--port", type=int, default=8000, help="its port (default 8000)")
    drain.add_argument(
        "--timeout", type=float, metavar="S", help="wait at most this long (default: until done)"
    )


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from octavo_engine.drain import request_drain

    return request_drain(options.port, options.timeout)
