"""Finding and ending the processes of one cluster.

Our own processes carry `--octavo-cluster=STATE` on their command line, so no pid file can be stale or lost.
All others (etcd, containerd, pods) live in the namespace whose first process is ours: they die with it.
"""

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from .errors import ClusterError
from .paths import State

PROC = Path("/proc")


def marker(state: State) -> str:
    return f"--octavo-cluster={state.folder}"


def marked(state: State) -> dict[int, list[str]]:
    """pid -> command line of every process of ours that belongs to this cluster."""
    wanted = marker(state)
    lines = {pid: command_line(pid) for pid in all_pids()}
    return {pid: line for pid, line in lines.items() if wanted in line}


def launcher(state: State) -> int | None:
    """The one process that ends everything."""
    return next((pid for pid, line in marked(state).items() if "--kill-child" in line), None)


def node_process(state: State, number: int) -> int | None:
    """The process, in the host's numbering, whose mount namespace is that of a node."""
    wanted = f"--node={number}"
    return next((pid for pid, line in marked(state).items() if wanted in line and line[0] != "unshare"), None)


def kill_all(state: State) -> int:
    """SIGKILL the cluster and wait until nothing of it runs; returns how many of our processes there were."""
    pids = sorted(marked(state))  # the launcher came first: its death already takes the rest along
    handles = [handle for pid in pids if (handle := open_pid(pid)) is not None]
    try:
        for handle in handles:
            send_kill(handle)
        deadline = time.monotonic() + 30
        for handle in handles:
            # A namespace's first process counts as ended only after all others in it have.
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise ClusterError(
                    "the kernel has not ended the cluster's processes after 30 s: see `ps aux`"
                )
    finally:
        for handle in handles:
            os.close(handle)
    await_empty_namespace(state)
    return len(handles)


def await_empty_namespace(state: State, seconds: float = 5.0) -> None:
    """Wait for a namespace whose first process was killed by someone else a moment ago.

    Only waits, never kills: the kernel may have given a forgotten namespace's number to somebody else.
    """
    try:
        identity = state.namespace.read_text()
    except FileNotFoundError:
        return
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(in_namespace(pid, identity) for pid in all_pids()):
        time.sleep(0.02)


def all_pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def command_line(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def in_namespace(pid: int, identity: str) -> bool:
    try:
        return str((PROC / str(pid) / "ns" / "pid").readlink()) == identity and not is_zombie(pid)
    except OSError:
        return False


def is_zombie(pid: int) -> bool:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def open_pid(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def send_kill(handle: int) -> None:
    with suppress(ProcessLookupError):  # it went with the launcher
        signal.pidfd_send_signal(handle, signal.SIGKILL)
