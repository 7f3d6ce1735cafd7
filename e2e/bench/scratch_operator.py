"""The operator of this checkout as a process on the host, under its own account and rights."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import install
from bench.inside import inside_the_cluster
from cluster.addresses import API_URL
from cluster.paths import this_checkout
from kubectl import Kubectl

ACCOUNT = "octavo-operator"
HEALTH_PORT = 18080
"""In the network of the cluster's first node."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class ScratchOperator:
    """One process at a time; `stop` and `start` are a restart."""

    def __init__(self, kubectl: Kubectl, folder: Path, *, resync_seconds: float) -> None:
        self.log = folder / "operator.log"
        self._kubeconfig = folder / "operator.kubeconfig"
        self._resync_seconds = resync_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.log.unlink(missing_ok=True)
        write_kubeconfig(kubectl, self._kubeconfig)

    def start(self) -> None:
        arguments = [
            "--engine-image=octavo.local/engine:bench",
            "--gateway-image=octavo.local/operator:bench",
            f"--health-port={HEALTH_PORT}",
            f"--resync-seconds={self._resync_seconds}",
        ]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(install.ROOT / "operator"),
            "KUBECONFIG": str(self._kubeconfig),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                inside_the_cluster(sys.executable, "-m", "octavo_operator", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def require_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            words = self.log.read_text(errors="replace").splitlines()[-5:]
            raise install.InstallFailed("the operator has ended, see " + "\n".join([str(self.log), *words]))

    def memory_mb(self, kind: str) -> float:
        """VmRSS is what it holds now, VmHWM the most it ever held; in units of 10^6 bytes."""
        with self._proc("status") as status:
            line = next(line for line in status if line.startswith(f"{kind}:"))
        return int(line.split()[1]) * 1024 / 1e6

    def cpu_seconds(self) -> float:
        with self._proc("stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def _proc(self, name: str) -> IO[str]:
        self.require_alive()
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}").open()


def write_kubeconfig(kubectl: Kubectl, path: Path) -> None:
    """With a token of the operator's account, so that its own rights are what it has."""
    system = kubectl.within(install.OPERATOR_NAMESPACE)
    token = system("create", "token", ACCOUNT, "--duration=4h").stdout.strip()
    cluster = {"server": API_URL, "certificate-authority": str(this_checkout().state.pki / "ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "inside", "cluster": cluster}],
        "users": [{"name": ACCOUNT, "user": {"token": token}}],
        "contexts": [{"name": "inside", "context": {"cluster": "inside", "user": ACCOUNT}}],
        "current-context": "inside",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
