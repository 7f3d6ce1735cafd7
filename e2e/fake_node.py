"""A node without a kubelet: its pods become Ready, those of Jobs end well, and deleted ones go at once."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from kubectl import Kubectl

NAME = "fake"
TAINT = "octavo.local/fake"
PLACEMENT = {
    "nodeSelector": {"kubernetes.io/hostname": NAME},
    "tolerations": [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}],
}
"""For spec.pod of an InferenceService whose pods belong here."""

READY_AFTER_SECONDS = 0.2
HEARTBEAT_SECONDS = 10


@contextmanager
def fake_node(kubectl: Kubectl) -> Iterator[None]:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NAME, "labels": {"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux"}},
        "spec": {"taints": [{"key": TAINT, "effect": "NoSchedule"}]},
    }
    kubectl.apply(node)
    kubelet = Kubelet(kubectl)
    thread = Thread(target=kubelet.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        kubelet.stopped.set()
        thread.join(timeout=30)
        kubectl("delete", "node", NAME, "--wait=false")


class Kubelet:
    """Looks a few times a second: a story has a handful of pods."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.stopped = Event()
        self._kubectl = kubectl
        self._numbers = itertools.count(10)
        self._beat_at = 0.0

    def run(self) -> None:
        while not self.stopped.is_set():
            if time.monotonic() >= self._beat_at:
                self._beat_at = time.monotonic() + HEARTBEAT_SECONDS
                self._patch_status("node", NAME, None, node_status())
            for pod in self._kubectl.items("pods", "-A", f"--field-selector=spec.nodeName={NAME}"):
                self._care_for(pod)
            self.stopped.wait(READY_AFTER_SECONDS)

    def _care_for(self, pod: dict[str, Any]) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if "deletionTimestamp" in pod["metadata"]:
            self._kubectl.within(namespace)(
                "delete", "pod", name, "--grace-period=0", "--force", "--wait=false", check=False
            )
        elif pod["status"].get("phase") == "Pending":
            status = pod_status(pod, f"10.244.250.{next(self._numbers) % 240 + 10}")
            if pod["spec"]["restartPolicy"] == "Never":
                status |= ended(status["containerStatuses"][0])
            self._patch_status("pod", name, namespace, status)

    def _patch_status(self, kind: str, name: str, namespace: str | None, status: dict[str, Any]) -> None:
        kubectl = self._kubectl.within(namespace) if namespace else self._kubectl
        patch = json.dumps({"status": status})
        kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch, check=False)


def node_status() -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "reason": "Fake", "message": "", "lastHeartbeatTime": now}
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "500"}
    return {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}


def pod_status(pod: dict[str, Any], address: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    container = pod["spec"]["containers"][0]
    running = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
    }
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds],
        "containerStatuses": [running],
    }


def ended(running: dict[str, Any]) -> dict[str, Any]:
    """What differs in the status of a pod whose one container has done its work."""
    terminated = {"exitCode": 0, "reason": "Completed", "startedAt": running["state"]["running"]["startedAt"]}
    container = running | {"ready": False, "started": False, "state": {"terminated": terminated}}
    return {"phase": "Succeeded", "containerStatuses": [container]}
