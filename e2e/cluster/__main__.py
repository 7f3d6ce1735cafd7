"""The command line: `python -m cluster up|down|status|kubectl-path|load`."""

import argparse
import signal
import sys
import time
from pathlib import Path

from . import images, lifecycle
from .errors import ClusterError
from .paths import Checkout, this_checkout
from .progress import say


def main() -> int:
    arguments = parse()
    checkout = this_checkout()
    # A closed terminal or a `kill` ends a start as Ctrl-C does: with everything cleaned up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return perform(arguments, checkout)
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def perform(arguments: argparse.Namespace, checkout: Checkout) -> int:
    match arguments.command:
        case "up":
            lifecycle.up(checkout, arguments.nodes)
        case "down":
            lifecycle.down(checkout)
        case "load":
            images.load(checkout, arguments.archives)
        case "kubectl-path":
            print(checkout.kubectl)
        case "status":
            return show(checkout, lifecycle.status(checkout))
    return 0


def show(checkout: Checkout, status: lifecycle.Status) -> int:
    """Print what runs; 3 when nothing does, as `systemctl status` says it."""
    record = status.record
    if record is None:
        print("down: start it with `make cluster`")
        return 3
    print(f"up for {time.time() - record.started_at:.0f} s")
    print(f"nodes ready: {len(status.ready_nodes)} of {record.nodes}")
    print(f"DNS: {'ready' if status.has_dns else 'not ready'}")
    print(f"API server: https://127.0.0.1:{record.api_port} (context {checkout.context})")
    print(f"kubeconfig: {checkout.kubeconfig}")
    print(f"Services and pods: socks5h://127.0.0.1:{record.socks_port}")
    print(f"logs: {checkout.state.logs}")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cluster", description="A real Kubernetes on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="build what is missing and start; does nothing when it runs")
    up.add_argument(
        "--nodes",
        type=int,
        choices=range(1, 10),
        metavar="N",
        help=f"how many nodes ({lifecycle.DEFAULT_NODES})",
    )
    commands.add_parser("down", help="end it and leave nothing behind")
    commands.add_parser("status", help="say what runs; exit code 3 when nothing does")
    commands.add_parser("kubectl-path", help="print the path of the kubectl that talks to it")
    load = commands.add_parser("load", help="import image archives (OCI or Docker) on every node")
    load.add_argument("archives", type=Path, nargs="+", metavar="TAR")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
