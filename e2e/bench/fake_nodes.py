"""Room for thousands of pods: nodes that kwok plays, while the cluster's own take nothing new."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.inside import inside_the_cluster
from bench.progress import say
from cluster.build import KWOK, build_tool
from cluster.paths import this_checkout
from kubectl import Kubectl

STAGES = Path(__file__).with_name("stages.yaml")
LABEL = "octavo.local/bench-node"
PODS_A_NODE = 700
POD_ADDRESSES = "10.128.0.0/12"
LEASE_SECONDS = 40


@contextmanager
def fake_nodes(kubectl: Kubectl, num_pods: int, logs: Path) -> Iterator[None]:
    """As many as `num_pods` need. Nothing else in the cluster may start pods meanwhile."""
    kwok = build_tool(KWOK)
    real = [node["metadata"]["name"] for node in kubectl.items("nodes", "-l", f"!{LABEL}")]
    # Gateways have no placement of their own: the real nodes have to be closed.
    kubectl("cordon", *real)
    try:
        numbers = range(-(-num_pods // PODS_A_NODE))
        kubectl.apply(*(node(number) for number in numbers))
        with (logs / "kwok.log").open("wb") as log:
            # In a session of its own: Ctrl-C must not take it before its pods are gone.
            process = subprocess.Popen(
                command(kwok), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            kubectl("wait", "nodes", "-l", LABEL, "--for=condition=Ready", "--timeout=60s")
            say(f"{len(numbers)} nodes of kwok are Ready")
            yield
        finally:
            process.terminate()
            process.wait()
    finally:
        kubectl("delete", "nodes", "-l", LABEL, "--wait=false", check=False)
        kubectl("uncordon", *real, check=False)


def command(kwok: Path) -> list[str]:
    """Beside the API server: through the way from the host all its watches would cost us our two cores."""
    kubeconfig = this_checkout().state.pki / "admin.kubeconfig"
    return inside_the_cluster(
        str(kwok),
        f"--kubeconfig={kubeconfig}",
        f"--config={STAGES}",
        f"--manage-nodes-with-label-selector={LABEL}",
        f"--node-lease-duration-seconds={LEASE_SECONDS}",
        f"--cidr={POD_ADDRESSES}",
    )


def node(number: int) -> dict[str, Any]:
    name = f"bench-{number}"
    amounts = {"cpu": "1k", "memory": "10Ti", "pods": str(PODS_A_NODE)}
    labels = {LABEL: "", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    ready = {"type": "Ready", "status": "True", "reason": "Kwok", "message": ""}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }
