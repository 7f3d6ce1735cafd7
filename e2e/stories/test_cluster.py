"""The local cluster itself: what works in it, that two of them never meet, and that nothing outlives one.

Each cluster here belongs to a checkout of its own in a temporary folder; that of the other stories goes on.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import guard, processes
from cluster.archive import write_single_file_image
from cluster.errors import ForeignContext
from other_checkout import (
    OtherCheckout,
    family,
    get_forwarded,
    get_through_socks,
    groups,
    is_run_as,
    survivors,
    traces_on_host,
)

Until = Callable[[str, Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherCheckout]:
    """A running cluster with two nodes."""
    checkout = OtherCheckout(tmp_path_factory.mktemp("checkout"))
    checkout.tool("up", "--nodes", "2")
    yield checkout
    checkout.tool("down")


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[OtherCheckout]:
    """A checkout whose cluster the story starts and ends."""
    checkout = OtherCheckout(tmp_path / "checkout")
    yield checkout
    checkout.tool("down")


def test_a_service_is_reached_by_its_name(other: OtherCheckout, until: Until) -> None:
    flags = ("--name=web", "--port=80", "--target-port=8181")
    other.kubectl("-n", "kube-system", "expose", "deployment/coredns", *flags)
    socks, name = other.record().socks_port, "web.kube-system.svc.cluster.local"
    until("an answer of the Service", lambda: get_through_socks(socks, name, "/ready").endswith("OK"))


def test_exec_logs_and_port_forward_reach_a_pod_on_either_node(other: OtherCheckout) -> None:
    other.kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=4")
    other.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=30s")
    columns = "custom-columns=:.metadata.name,:.spec.nodeName"
    pods = other.kubectl("-n", "kube-system", "get", "pods", "--no-headers", "-o", columns)
    by_node = {node: name for name, node in (line.split() for line in pods.splitlines())}
    assert sorted(by_node) == ["n1", "n2"]
    for pod in by_node.values():
        version = other.kubectl("-n", "kube-system", "exec", pod, "--", "/coredns", "-version")
        assert "CoreDNS-1.15.0" in version
        assert "CoreDNS-1.15.0" in other.kubectl("-n", "kube-system", "logs", pod)
        assert get_forwarded(other, f"pod/{pod}", 8181, "/ready").endswith("OK")


def test_a_restricted_namespace_refuses_an_ordinary_pod(other: OtherCheckout) -> None:
    other.kubectl("create", "namespace", "strict")
    other.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    said = other.kubectl("-n", "strict", "run", "p", "--image=octavo.local/pause:1", check=False)
    assert 'violates PodSecurity "restricted' in said


def test_the_audit_log_tells_who_wrote_what(other: OtherCheckout) -> None:
    other.kubectl("create", "configmap", "written-by-a-story")
    lines = other.state.audit_log.read_text().splitlines()
    written = [line for line in lines if "written-by-a-story" in line]
    assert len(written) == 1
    assert '"verb":"create"' in written[0]
    assert '"username":"octavo-local-admin"' in written[0]


def test_two_clusters_of_two_checkouts_never_meet(other: OtherCheckout, stopped: OtherCheckout) -> None:
    started = time.monotonic()
    stopped.tool("up")
    assert time.monotonic() - started < 15, "with everything built"
    assert "already up" in stopped.tool("up")
    other.kubectl("create", "namespace", "only-here")
    assert "only-here" not in stopped.kubectl("get", "namespaces")
    guard.require_own_context(stopped.checkout.kubeconfig, stopped.checkout)
    with pytest.raises(ForeignContext):
        guard.require_own_context(other.checkout.kubeconfig, stopped.checkout)
    stopped.tool("down")
    assert "only-here" in other.kubectl("get", "namespaces")


def test_a_loaded_image_is_there_after_the_next_start(stopped: OtherCheckout, tmp_path: Path) -> None:
    stopped.tool("up")
    archive = tmp_path / "image.tar"
    write_single_file_image(archive, "octavo.local/story:1", Path(stopped.record().binary("pause")))
    assert "new images: octavo.local/story:1" in stopped.tool("load", str(archive))
    assert "none, they were there" in stopped.tool("load", str(archive))
    stopped.kubectl("run", "p", "--image=octavo.local/story:1", "--image-pull-policy=Never")
    stopped.kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")
    stopped.tool("down")
    stopped.tool("up")
    assert "pod/p" not in stopped.kubectl("get", "pods", "-o", "name")
    assert "none, they were there" in stopped.tool("load", str(archive))


@pytest.mark.parametrize(
    "victim",
    [
        pytest.param("--kill-child", id="launcher"),
        pytest.param("kube-apiserver"),
        pytest.param("cluster.supervisor", marks=pytest.mark.long),
        pytest.param("containerd", marks=pytest.mark.long),
    ],
)
def test_nothing_outlives_a_cluster_one_part_of_which_was_killed(stopped: OtherCheckout, victim: str) -> None:
    before = traces_on_host()
    stopped.tool("up")
    alive = family(processes.launcher(stopped.state))
    killed = next(pid for pid in alive if is_run_as(pid, victim))
    os.kill(killed, signal.SIGKILL)
    stopped.tool("down")
    assert survivors(alive) == []
    assert groups(stopped) == []
    assert traces_on_host() == before


@pytest.mark.parametrize("seconds", [0.5, 2.0, 4.0])
def test_an_interrupted_start_leaves_nothing(stopped: OtherCheckout, seconds: float) -> None:
    before = traces_on_host()
    with stopped.start("up") as starting:
        time.sleep(seconds)
        alive = family(processes.launcher(stopped.state))
        starting.send_signal(signal.SIGINT)
        output = starting.communicate(timeout=30)[0]
    assert "interrupted" in output
    assert starting.returncode == 130
    assert survivors(alive) == []
    assert (groups(stopped), stopped.checkout.kubeconfig.exists()) == ([], False)
    assert traces_on_host() == before


def test_a_start_that_was_killed_is_cleaned_by_the_next_command(stopped: OtherCheckout, until: Until) -> None:
    before = traces_on_host()
    with stopped.start("up") as starting:
        until("a launcher", lambda: processes.launcher(stopped.state))
        starting.kill()
    stopped.tool("down")
    assert (processes.marked(stopped.state), groups(stopped)) == ({}, [])
    assert traces_on_host() == before
