"""Up, down and status of a checkout's cluster: what happens on the host's side."""

import fcntl
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from . import cgroups, host, pki, processes
from .addresses import node_name
from .api import ApiClient
from .build import Components, build_all
from .errors import ClusterError
from .launch import ended_early, launch, prepare_state, write_kubectl
from .parts import run, wait_until
from .paths import MANIFESTS, Checkout, State
from .progress import say, step
from .record import Record, read_record

DEFAULT_NODES = 2
"""With one node, `kubectl drain` would have nowhere to move the pods."""


def up(checkout: Checkout, nodes: int | None = None) -> None:
    """Start the cluster, or say that it runs; without `nodes` any number that runs will do.

    A start that fails or is interrupted leaves nothing behind.
    """
    host.prepare()
    components = build_all()
    checkout.state.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(checkout.state):
        if (record := running(checkout)) is not None:
            if nodes not in (None, record.nodes):
                raise ClusterError(
                    f"it runs with {record.nodes} node(s), not {nodes}: `make cluster-down` first"
                )
            say(f"already up: kubeconfig {checkout.kubeconfig}")
            return
        try:
            start(checkout, components, nodes or DEFAULT_NODES)
        except BaseException:  # Ctrl-C too
            with uninterrupted():
                clean_up(checkout)
            raise


def start(checkout: Checkout, components: Components, nodes: int) -> None:
    started = time.monotonic()
    clean_up(checkout)
    state = checkout.state
    with step("keys and certificates are made"):
        prepare_state(state, nodes)
        pki.create(state.pki, nodes)
    cgroups.create(checkout.cluster_name, [node_name(number) for number in range(1, nodes + 1)])
    record = launch(checkout, components, nodes)
    await_ready(checkout, record)
    write_kubectl(checkout, record)
    say(f"up in {time.monotonic() - started:.1f} s: {checkout.kubectl} talks to it")


def await_ready(checkout: Checkout, record: Record) -> None:
    """Wait for every part; only then publish the kubeconfig, so that its presence means a whole cluster."""
    state = checkout.state
    api = ApiClient(state.pki, record.api_port)
    with step("API server is ready"):
        wait_while_alive(state, api.is_ready, "an answer of the API server")
    with step("CoreDNS is installed"):
        install_dns(record, state)
    for name in (node_name(number) for number in range(1, record.nodes + 1)):
        with step(f"node {name} is Ready"):
            wait_while_alive(state, partial(api.is_node_ready, name), f"a Ready node {name}")
    with step("DNS is ready"):
        wait_while_alive(
            state, partial(api.is_deployment_available, "kube-system", "coredns"), "a ready CoreDNS"
        )
    staged = checkout.kubeconfig.with_name(".kubeconfig")
    pki.write_kubeconfig(staged, state.pki, "admin", f"https://127.0.0.1:{record.api_port}", checkout.context)
    staged.replace(checkout.kubeconfig)


def install_dns(record: Record, state: State) -> None:
    staged = state.pki / "host.kubeconfig"
    pki.write_kubeconfig(staged, state.pki, "admin", f"https://127.0.0.1:{record.api_port}", "host")
    flags = ["--kubeconfig", str(staged), "--cache-dir", str(state.kubectl_cache)]
    run(record.binary("kubectl"), *flags, "create", "--validate=false", "-f", f"{MANIFESTS}/coredns.yaml")


def wait_while_alive(state: State, is_true: Callable[[], bool], what: str) -> None:
    def is_settled() -> bool:
        if processes.launcher(state) is None:
            raise ended_early(state)
        return is_true()

    wait_until(is_settled, f"{what} (logs: {state.logs})", seconds=120)


def running(checkout: Checkout) -> Record | None:
    """The record of a cluster that is whole and answers; None for anything less."""
    record = read_record(checkout.state.record)
    if record is None or not checkout.kubeconfig.exists() or processes.launcher(checkout.state) is None:
        return None
    return record if ApiClient(checkout.state.pki, record.api_port).is_ready() else None


def down(checkout: Checkout) -> None:
    """End the cluster and remove what it left, however it ended."""
    if not checkout.state.folder.exists():
        say("already down")
        return
    with exclusive(checkout.state), uninterrupted(), step("down: nothing of the cluster is left"):
        clean_up(checkout)


def clean_up(checkout: Checkout) -> None:
    """Keeps logs and images; everything else belongs to one run."""
    state = checkout.state
    checkout.kubeconfig.unlink(missing_ok=True)
    processes.kill_all(state)
    cgroups.remove(checkout.cluster_name)
    of_nodes = [folder for own in state.nodes() for folder in (own.kubelet, own.pod_logs, own.config)]
    for folder in [state.pki, state.etcd, state.kubectl_cache, *of_nodes]:
        if folder.exists():
            shutil.rmtree(folder)
    for file in (state.record, state.namespace):
        file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Status:
    record: Record | None
    ready_nodes: tuple[str, ...] = ()
    has_dns: bool = False


def status(checkout: Checkout) -> Status:
    record = running(checkout)
    if record is None:
        return Status(None)
    api = ApiClient(checkout.state.pki, record.api_port)
    names = [node_name(number) for number in range(1, record.nodes + 1)]
    ready = tuple(name for name in names if api.is_node_ready(name))
    return Status(record, ready, api.is_deployment_available("kube-system", "coredns"))


@contextmanager
def exclusive(state: State) -> Iterator[None]:
    """One command at a time on one cluster. The lock goes with this process, however it ends."""
    with state.lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command works on this cluster: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Cleaning takes a second or two; a second Ctrl-C must not stop it half-way."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, former, strict=True):
            signal.signal(number, handler)
