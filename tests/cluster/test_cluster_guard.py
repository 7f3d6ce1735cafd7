import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_record import RECORD

from cluster import guard, pki, processes
from cluster.errors import ForeignContext
from cluster.parts import wait_until
from cluster.paths import Checkout

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout whose files are those of a running cluster."""
    own = Checkout(tmp_path)
    pki.create(own.state.pki, nodes=1)
    RECORD.write(own.state.record)
    write(own, own.kubeconfig)
    return own


def write(own: Checkout, path: Path, *, context: str | None = None, port: int = RECORD.api_port) -> None:
    pki.write_kubeconfig(path, own.state.pki, "admin", f"https://127.0.0.1:{port}", context or own.context)


@pytest.fixture
def launcher(checkout: Checkout) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the checkout's launcher."""
    with pretended_launcher(checkout) as process:
        yield process


@contextmanager
def pretended_launcher(checkout: Checkout) -> Iterator[subprocess.Popen[bytes]]:
    mark = processes.marker(checkout.state)
    with subprocess.Popen([sys.executable, "-c", SLEEP, "--kill-child", mark]) as process:
        # A process has no command line for a moment while it starts.
        wait_until(lambda: mark in processes.command_line(process.pid), "a started process", seconds=5)
        yield process
        process.kill()


@pytest.mark.usefixtures("launcher")
def test_the_own_kubeconfig_is_accepted(checkout: Checkout) -> None:
    assert guard.require_own_context(checkout.kubeconfig, checkout) == RECORD


@pytest.mark.usefixtures("launcher")
def test_another_context_is_refused_with_the_remedy(checkout: Checkout) -> None:
    write(checkout, checkout.kubeconfig, context="production")
    with pytest.raises(ForeignContext, match=r"'production' is not 'octavo-local-.*make cluster"):
        guard.require_own_context(checkout.kubeconfig, checkout)


@pytest.mark.usefixtures("launcher")
def test_the_right_name_with_another_server_is_refused(checkout: Checkout) -> None:
    write(checkout, checkout.kubeconfig, port=6443)
    with pytest.raises(ForeignContext, match="does not lead to the cluster"):
        guard.require_own_context(checkout.kubeconfig, checkout)


@pytest.mark.usefixtures("launcher")
def test_the_right_name_with_another_authority_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "other")
    pki.create(other.state.pki, nodes=1)
    write(other, checkout.kubeconfig, context=checkout.context)
    with pytest.raises(ForeignContext, match="does not lead to the cluster"):
        guard.require_own_context(checkout.kubeconfig, checkout)


def test_a_cluster_that_does_not_run_is_refused(checkout: Checkout) -> None:
    with pytest.raises(ForeignContext, match="does not run"):
        guard.require_own_context(checkout.kubeconfig, checkout)


@pytest.mark.parametrize("text", [None, "", "a: [", "current-context: x"])
def test_what_is_no_kubeconfig_is_refused(checkout: Checkout, text: str | None) -> None:
    checkout.kubeconfig.unlink()
    if text is not None:
        checkout.kubeconfig.write_text(text)
    with pytest.raises(ForeignContext, match="make cluster"):
        guard.require_own_context(checkout.kubeconfig, checkout)


def test_keys_are_for_the_owner_alone(checkout: Checkout) -> None:
    modes = {path: path.stat().st_mode & 0o077 for path in (checkout.kubeconfig, checkout.state.pki)}
    assert set(modes.values()) == {0}


def test_ending_a_cluster_spares_the_processes_of_others(
    checkout: Checkout, launcher: subprocess.Popen[bytes]
) -> None:
    with pretended_launcher(Checkout(Path("/elsewhere"))) as stranger:
        processes.kill_all(checkout.state)
        assert launcher.wait(5) == -9
        assert stranger.poll() is None
