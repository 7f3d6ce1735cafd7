"""Bringing image archives into the nodes of the running cluster, from the host."""

from pathlib import Path

from . import guard, image_store, processes
from .addresses import node_name
from .errors import ClusterError
from .node_config import CONTAINERD_SOCKET
from .paths import Checkout, State
from .progress import say, step


def load(checkout: Checkout, archives: list[Path]) -> None:
    """Import OCI or Docker archives on every node; what a node has already is not sent again."""
    if missing := [archive for archive in archives if not archive.is_file()]:
        raise ClusterError(f"there is no {missing[0]}")
    record = guard.require_own_context(checkout.kubeconfig, checkout)
    for number in range(1, record.nodes + 1):
        socket = containerd_socket(checkout.state, number)
        for archive in archives:
            say(f"loading {archive} ({archive.stat().st_size / 1e6:.0f} MB) on {node_name(number)}")
            with step(f"{archive.name} is on {node_name(number)}"):
                names = image_store.load(socket, archive)
            say(f"new images: {', '.join(names) or 'none, they were there'}")


def containerd_socket(state: State, number: int) -> str:
    """A node's containerd socket, seen from the host through the node's own mounts."""
    pid = processes.node_process(state, number)
    if pid is None:
        raise ClusterError(f"node {node_name(number)} does not run: `make cluster-down`, then `make cluster`")
    return f"/proc/{pid}/root{CONTAINERD_SOCKET}"
