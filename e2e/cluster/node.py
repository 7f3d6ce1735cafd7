"""One node: containerd, kubelet and kube-proxy in a mount namespace of their own.

The node has its own `/run`, `/var/lib` and `/var/log`, so that nothing of it meets another node or the host.
"""

import argparse
import shutil
import socket
import sys
from pathlib import Path

from . import image_store
from .addresses import API_PORT, node_address, node_name, pod_range
from .api import ApiClient
from .errors import ClusterError
from .mounts import bind, protect_kernel_settings, replace_with_tmpfs
from .node_config import (
    CNI_CONFIG,
    CONTAINERD_ROOT,
    CONTAINERD_SOCKET,
    KUBELET_ROOT,
    cni_conflist,
    containerd_toml,
    kube_proxy_config,
    kubelet_config,
)
from .parts import Parts, run, wait_until
from .paths import State
from .record import Record, read_record

CRI_STATE = Path(CONTAINERD_ROOT) / "io.containerd.grpc.v1.cri"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--octavo-cluster", type=Path, required=True)
    parser.add_argument("--node", type=int, required=True)
    arguments = parser.parse_args()
    state = State(arguments.octavo_cluster)
    record = read_record(state.record)
    assert record is not None, "the launcher writes the record before it starts us"
    try:
        sys.exit(supervise(record, state, arguments.node))
    except ClusterError as error:
        sys.exit(str(error))


def supervise(record: Record, state: State, number: int) -> str:
    prepare_files(record, state, number)
    prepare_network(record, number)
    if CRI_STATE.exists():
        sweep(state, number)
    parts = Parts(state.logs)
    start_containerd(parts, state, number, "containerd.toml")
    for archive in record.archives:
        image_store.load(CONTAINERD_SOCKET, Path(archive))
    wait_until(ApiClient(state.pki, API_PORT, node_address(1)).is_ready, "an answer of the API server")
    start_kube_proxy(parts, record, state, number)
    start_kubelet(parts, record, state, number)
    return parts.wait_for_end()


def prepare_files(record: Record, state: State, number: int) -> None:
    own = state.node(number)
    for folder in ("/run", "/var/lib", "/var/log"):
        replace_with_tmpfs(Path(folder), record.visible)
    for folder in ("/run/lock", "/run/netns", "/var/log/containers"):
        Path(folder).mkdir()
    bind(own.containerd, Path(CONTAINERD_ROOT))
    bind(own.kubelet, Path(KUBELET_ROOT))
    bind(own.pod_logs, Path("/var/log/pods"))
    protect_kernel_settings()
    write_config(record, state, number)


def write_config(record: Record, state: State, number: int) -> None:
    folder = state.node(number).config
    folder.mkdir(exist_ok=True)
    (folder / "containerd.toml").write_text(containerd_toml(record.cni_plugins, serve_pods=True))
    (folder / "sweep.toml").write_text(containerd_toml(record.cni_plugins, serve_pods=False))
    (folder / "kubelet.json").write_text(kubelet_config(record.name, number, state))
    (folder / "kube-proxy.json").write_text(kube_proxy_config(number, state))
    Path(CNI_CONFIG).mkdir()
    (Path(CNI_CONFIG) / "10-pods.conflist").write_text(cni_conflist(number))


def prepare_network(record: Record, number: int) -> None:
    if number != 1:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        run("ip", "link", "set", "lo", "up")
        wait_until(lambda: "eth0" in run("ip", "-o", "link"), "the node's link to the bridge")
        run("ip", "addr", "add", f"{node_address(number)}/24", "dev", "eth0")
        run("ip", "link", "set", "eth0", "up")
        run("ip", "route", "add", "default", "via", node_address(1))
    for other in range(1, record.nodes + 1):
        if other != number:
            run("ip", "route", "add", pod_range(other), "via", node_address(other))


def sweep(state: State, number: int) -> None:
    """Remove the containers of a former cluster but keep its images."""
    parts = Parts(state.logs)
    pid = start_containerd(parts, state, number, "sweep.toml")
    image_store.remove_containers(CONTAINERD_SOCKET)
    image_store.prune(CONTAINERD_SOCKET)
    run("kill", str(pid))
    parts.wait_for_end()
    shutil.rmtree(CRI_STATE)


def start_containerd(parts: Parts, state: State, number: int, config: str) -> int:
    Path(CONTAINERD_SOCKET).unlink(missing_ok=True)
    command = ["containerd", "--config", str(state.node(number).config / config)]
    pid = parts.start(f"containerd-{node_name(number)}", command)
    wait_until(lambda: is_listening(CONTAINERD_SOCKET), "an answer of containerd")
    return pid


def is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def start_kube_proxy(parts: Parts, record: Record, state: State, number: int) -> None:
    config = state.node(number).config / "kube-proxy.json"
    parts.start(f"kube-proxy-{node_name(number)}", [record.binary("kube-proxy"), f"--config={config}"])


def start_kubelet(parts: Parts, record: Record, state: State, number: int) -> None:
    name = node_name(number)
    command = [
        record.binary("kubelet"),
        f"--config={state.node(number).config}/kubelet.json",
        f"--kubeconfig={state.pki}/{name}.kubeconfig",
        f"--hostname-override={name}",
        f"--node-ip={node_address(number)}",  # never loopback: logs and exec would find no address
        f"--root-dir={KUBELET_ROOT}",
    ]
    parts.start(f"kubelet-{name}", command)


if __name__ == "__main__":
    main()
