"""Is it the accelerators that are exhausted? Read off the scheduler's words about a pod. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from octavo_operator.engine_pod import EnginePod


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    pod: EnginePod
    resource: str
    need: int
    num_nodes: int
    """Nodes that offer the resource, or might, and have less of it free than the pod needs."""

    def __str__(self) -> str:
        free = "0" if self.need == 1 else f"fewer than {self.need}"
        nodes = "the 1 node" if self.num_nodes == 1 else f"each of the {self.num_nodes} nodes"
        need = f"pod {self.pod.name} needs {self.need} {self.resource}"
        return f"{need}, and {free} are free on {nodes} that could take it"


def accelerator_shortage(pods: Iterable[EnginePod]) -> Shortage | None:
    """Of the pods that wait for a node, the first that waits for an accelerator."""
    for pod in sorted(pods, key=lambda item: item.created):
        if pod.deleting or not pod.unschedulable:
            continue
        for resource, need in pod.accelerators.items():
            # It counts nodes by what they lack: "0/3 nodes are available: 2 Insufficient nvidia.com/gpu, ..."
            lack = rf"(\d+) Insufficient {re.escape(resource)}(?![\w/-]|\.\w)"
            if found := re.search(lack, pod.unschedulable):
                return Shortage(pod=pod, resource=resource, need=need, num_nodes=int(found[1]))
    return None
