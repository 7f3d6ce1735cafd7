"""Starting the first process of a cluster from the host, with the sockets that lead into it."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import host
from .build import Components
from .errors import ClusterError
from .parts import wait_until
from .paths import PACKAGE, Checkout, State, cache_folder
from .processes import launcher, marker
from .record import Record

NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def launch(checkout: Checkout, components: Components, nodes: int) -> Record:
    """Start the cluster, detached from this terminal. Its sockets are opened here, so the host has them."""
    api, socks = listen(), listen()
    record = Record(
        name=checkout.cluster_name,
        nodes=nodes,
        api_port=api.getsockname()[1],
        socks_port=socks.getsockname()[1],
        api_fd=api.fileno(),
        socks_fd=socks.fileno(),
        started_at=time.time(),
        binaries=components.binaries,
        archives=components.archives,
        cni_plugins=str(host.cni_folder()),
        visible=(str(checkout.root), str(cache_folder()), sys.prefix, sys.base_prefix),
    )
    record.write(checkout.state.record)
    with api, socks:
        spawn(checkout.state, [record.api_fd, record.socks_fd])
    return record


def listen() -> socket.socket:
    """A port that the kernel chooses, on the loopback device alone."""
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def spawn(state: State, fds: list[int]) -> None:
    command = ["unshare", *NAMESPACES, "--", sys.executable, "-m", "cluster.supervisor", marker(state)]
    with supervisor_log(state).open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds, cwd="/",
            env=environment(), start_new_session=True,
        )  # fmt: skip

    # A process has no command line for a moment while it starts, and that is what we know it by.
    wait_until(lambda: launcher(state) is not None or process.poll() is not None, "a started cluster")
    process.returncode = 0  # it outlives us; Popen would warn that we did not wait for it


def environment() -> dict[str, str]:
    """Nothing of the caller's: a proxy setting, say, would change what the parts do."""
    return {"PATH": host.search_path(), "PYTHONPATH": str(PACKAGE.parent), "HOME": "/root", "LANG": "C.UTF-8"}


def supervisor_log(state: State) -> Path:
    return state.logs / "cluster.log"


def prepare_state(state: State, nodes: int) -> None:
    """Empty folders for one run. The logs of the run before stay beside them, to be read after a failure."""
    previous = state.folder / "log.previous"
    if state.logs.exists():
        shutil.rmtree(previous, ignore_errors=True)
        state.logs.rename(previous)
    state.logs.mkdir()
    for number in range(1, nodes + 1):
        own = state.node(number)
        for folder in (own.containerd, own.kubelet, own.pod_logs, own.config):
            folder.mkdir(parents=True, exist_ok=True)


def write_kubectl(checkout: Checkout, record: Record) -> None:
    """A kubectl for this cluster alone, whatever KUBECONFIG says, with a discovery cache of its own."""
    variables = {"KUBECONFIG": checkout.kubeconfig, "KUBECACHEDIR": checkout.state.kubectl_cache}
    settings = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in variables.items())
    hint = f"[ -e {shlex.quote(str(checkout.kubeconfig))} ] || echo 'the cluster is down: make cluster' >&2"
    script = f'#!/bin/sh\n{hint}\n{settings} exec {shlex.quote(record.binary("kubectl"))} "$@"\n'
    checkout.kubectl.parent.mkdir(parents=True, exist_ok=True)
    partial = checkout.kubectl.with_name(f".kubectl.{os.getpid()}")
    partial.write_text(script)
    partial.chmod(0o755)
    partial.replace(checkout.kubectl)


def ended_early(state: State) -> ClusterError:
    words = supervisor_log(state).read_text().strip() or f"no words in {supervisor_log(state)}"
    return ClusterError(f"the cluster ended while it started: {words}")
