"""Where things lie: the checkout's own state, and the cache that all checkouts share."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
TOOLS = PACKAGE / "tools"
MANIFESTS = PACKAGE / "manifests"


def cache_folder() -> Path:
    """`OCTAVO_CACHE`, or `octavo` in the user's cache folder."""
    if own := os.environ.get("OCTAVO_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "octavo"


@dataclass(frozen=True, slots=True)
class Checkout:
    """One working copy of the repository. Its path is its identity, so two of them never share a cluster."""

    root: Path

    @property
    def digest(self) -> str:
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def cluster_name(self) -> str:
        return f"octavo-{self.digest}"

    @property
    def context(self) -> str:
        return f"octavo-local-{self.digest}"

    @property
    def kubeconfig(self) -> Path:
        return self.root / ".octavo" / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        return self.root / ".octavo" / "bin" / "kubectl"

    @property
    def state(self) -> "State":
        return State(self.root / ".octavo" / "cluster")


@dataclass(frozen=True, slots=True)
class State:
    """The folder of one cluster. Images outlive `down`, so that the next `up` needs no new import."""

    folder: Path

    @property
    def record(self) -> Path:
        return self.folder / "cluster.json"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def namespace(self) -> Path:
        return self.folder / "pid-namespace"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def etcd(self) -> Path:
        return self.folder / "etcd"

    @property
    def kubectl_cache(self) -> Path:
        return self.folder / "kubectl-cache"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    def node(self, number: int) -> "NodeState":
        return NodeState(self.folder / f"n{number}")

    def nodes(self) -> list["NodeState"]:
        """Every node that a run left a folder of."""
        return [NodeState(folder) for folder in sorted(self.folder.glob("n[0-9]"))]


@dataclass(frozen=True, slots=True)
class NodeState:
    folder: Path

    @property
    def containerd(self) -> Path:
        return self.folder / "containerd"

    @property
    def kubelet(self) -> Path:
        return self.folder / "kubelet"

    @property
    def pod_logs(self) -> Path:
        return self.folder / "pod-logs"

    @property
    def config(self) -> Path:
        return self.folder / "config"


def this_checkout() -> Checkout:
    return Checkout(PACKAGE.parent.parent)
