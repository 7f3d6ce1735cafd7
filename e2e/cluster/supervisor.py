"""The first process of a cluster: its network, its control plane and its nodes.

It runs in network, mount and process namespaces of its own. When any part ends, so does this process,
and the kernel then ends everything else in the namespace: there is no half-alive cluster.
"""

import argparse
import os
import sys
from pathlib import Path

from . import control_plane
from .addresses import API_PORT, BRIDGE, DNS_SERVICE, node_address, node_name
from .api import ApiClient
from .errors import ClusterError
from .mounts import replace_with_tmpfs, resolve_names_with
from .parts import Parts, run, wait_until
from .paths import State
from .processes import marker
from .record import Record, read_record


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--octavo-cluster", type=Path, required=True)
    state = State(parser.parse_args().octavo_cluster)
    record = read_record(state.record)
    assert record is not None, "the launcher writes the record before it starts us"
    state.namespace.write_text(str(Path("/proc/self/ns/pid").readlink()))
    try:
        sys.exit(supervise(record, state))
    except ClusterError as error:
        sys.exit(str(error))


def supervise(record: Record, state: State) -> str:
    prepare_network()
    replace_with_tmpfs(Path("/run"), record.visible)
    Path("/run/lock").mkdir()
    resolve_names_with(DNS_SERVICE)
    parts = Parts(state.logs)
    start_relay(parts, record, state)
    parts.start("etcd", control_plane.etcd(record, state))
    parts.start("kube-apiserver", control_plane.api_server(record, state))
    for number in range(1, record.nodes + 1):
        start_node(parts, number, state)
    wait_until(ApiClient(state.pki, API_PORT).is_ready, "an answer of the API server")
    parts.start("kube-controller-manager", control_plane.controller_manager(record, state))
    parts.start("kube-scheduler", control_plane.scheduler(record, state))
    return parts.wait_for_end()


def prepare_network() -> None:
    """A bridge that joins the nodes. Nothing leads out: all traffic of the cluster stays in it."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "addr", "add", f"{node_address(1)}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    run("ip", "route", "add", "default", "dev", BRIDGE)  # the parts ask for it to choose an address


def start_relay(parts: Parts, record: Record, state: State) -> None:
    fds = (record.api_fd, record.socks_fd)
    flags = [marker(state), f"--api-fd={record.api_fd}", f"--socks-fd={record.socks_fd}"]
    parts.start("relay", [sys.executable, "-m", "cluster.relay", *flags], pass_fds=fds)
    for fd in fds:
        os.close(fd)


def start_node(parts: Parts, number: int, state: State) -> None:
    """The first node shares the control plane's network; each further one has its own, on the bridge."""
    own_network = [] if number == 1 else ["-n"]
    command = [sys.executable, "-m", "cluster.node", marker(state), f"--node={number}"]
    pid = parts.start(node_name(number), ["unshare", "-m", *own_network, "--", *command])
    if own_network:
        connect(pid, number)


def connect(pid: int, number: int) -> None:
    ours, its_own = Path("/proc/1/ns/net"), Path(f"/proc/{pid}/ns/net")
    wait_until(lambda: its_own.readlink() != ours.readlink(), f"a network of {node_name(number)}'s own")
    outer = f"to-{node_name(number)}"
    run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    run("ip", "link", "set", outer, "master", BRIDGE, "up")


if __name__ == "__main__":
    main()
