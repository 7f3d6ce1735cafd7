"""What a cluster does by itself: Deployments' pods come, become ready, and go; Jobs end; gateways look on."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from octavo_api.api_server import DEPLOYMENTS, JOBS, PODS
from octavo_api.names import (
    ANNOTATION_DELETION_COST,
    ANNOTATION_DRAINING,
    GATEWAY_NAME,
    LABEL_APP,
    LABEL_REVISION,
    LABEL_SERVICE,
)
from octavo_operator.gateway_reports import EndpointReport, GatewayPod, GatewayReport
from octavo_operator.observed import Manifest
from octavo_operator.traffic import Figures, ServiceTraffic, TrafficReport

if TYPE_CHECKING:
    from fake_cluster import FakeApiServer

GATEWAYS_OWNER = {"kind": "ReplicaSet", "name": f"{GATEWAY_NAME}-5d9c7b", "uid": "r", "controller": True}


class FakeWorld:
    """`step` lets every controller act once. Requests of a draining pod end one a step."""

    def __init__(self, server: "FakeApiServer") -> None:
        self._server = server
        self._serial = count(1)
        self.later = timedelta()
        """How far its clock is ahead of ours."""
        self.in_flight: dict[str, int] = {}
        self.waiting = 0
        """Requests that wait in each gateway."""
        self.idle_seconds = 0.0
        self.broken: set[str] = set()
        """Models, as in their uri, whose pods never become ready."""
        self.checks: dict[str, tuple[int, str]] = {}
        """Models, as in their uri -> exit code and message of their preflight; others pass."""
        self.traffic: dict[str, Figures] = {}
        """By revision, as the one gateway that tells of it counts."""
        self.accelerators: int | None = None
        """So many pods find one; None: there are enough."""
        self.overdue: set[str] = set()
        """Revisions of which the deployment controller says that they make no progress."""
        self.cut: list[str] = []
        """Pods that were deleted with requests in flight."""

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def step(self) -> bool:
        """Whether anything changed."""
        before = [repr(item) for item in self._server.objects.values()]
        for deployment in self._server.of_kind("Deployment"):
            self._make_ready(deployment)
            self._count_pods(deployment)
            self._publish(deployment)
        self._collect_orphans()
        for job in self._server.of_kind("Job"):
            self._finish(job)
        for deployment in self._server.of_gateway("Deployment"):
            self._set_status(deployment, {"availableReplicas": deployment["spec"]["replicas"]})
        is_draining = self._finish_requests()
        return is_draining or before != [repr(item) for item in self._server.objects.values()]

    def pods(self, deployment: Manifest | None = None) -> list[Manifest]:
        revision = deployment and deployment["metadata"]["labels"][LABEL_REVISION]
        engines = [pod for pod in self._server.of_kind("Pod") if LABEL_SERVICE in pod["metadata"]["labels"]]
        return [pod for pod in engines if revision in (None, pod["metadata"]["labels"][LABEL_REVISION])]

    def available(self) -> int:
        """Pods that new requests can go to."""
        return sum(is_ready(pod) and not is_draining(pod) for pod in self.pods())

    def add_gateway(self, name: str) -> None:
        metadata = {
            "namespace": "team",
            "name": name,
            "labels": {LABEL_APP: GATEWAY_NAME},
            "ownerReferences": [GATEWAYS_OWNER],
        }
        status = {"phase": "Running", "podIP": "10.0.0.1"}
        pod = {"kind": "Pod", "metadata": metadata, "spec": {}, "status": status}
        self._server.put(PODS.path("team", name), pod)

    async def ask_traffic(self, gateways: tuple[GatewayPod, ...]) -> tuple[TrafficReport, ...]:
        """Of the one service "demo"; the first gateway has seen all its requests."""
        return tuple(
            TrafficReport(pod=pod.name, instance=pod.name, services={"demo": self._told(pod is gateways[0])})
            for pod in gateways
        )

    def _told(self, has_seen_all: bool) -> ServiceTraffic:
        revisions = self.traffic if has_seen_all else {}
        return ServiceTraffic(waiting=self.waiting, idle_seconds=self.idle_seconds, revisions=revisions)

    async def ask(self, gateways: tuple[GatewayPod, ...]) -> tuple[GatewayReport, ...]:
        endpoints = {
            pod["metadata"]["name"]: EndpointReport(
                uid=pod["metadata"]["uid"],
                draining=is_draining(pod),
                in_flight=self.in_flight.get(pod["metadata"]["name"], 0),
            )
            for pod in self.pods()
        }
        return tuple(GatewayReport(pod=pod.name, synced=True, endpoints=endpoints) for pod in gateways)

    def _make_ready(self, deployment: Manifest) -> None:
        for pod in self.pods(deployment):
            if self.accelerators is not None and pod not in self._with_accelerators():
                if pod["status"] != WITHOUT_NODE:
                    pod["status"] = dict(WITHOUT_NODE)
                    self._server.changed(_path(pod))
            elif not is_ready(pod) and not any(model in str(deployment["spec"]) for model in self.broken):
                before = pod["status"].get("containerStatuses", [{}])[0]
                pod["status"] = _status(self.now, ready=True)
                pod["status"]["containerStatuses"][0] |= {**before, "state": {"running": {}}}
                self._server.changed(_path(pod))

    def _with_accelerators(self) -> list[Manifest]:
        """Who has one keeps it; then first come, first served."""
        in_order = sorted(self.pods(), key=lambda pod: (not is_ready(pod), int(_number(pod))))
        return in_order[: self.accelerators]

    def _count_pods(self, deployment: Manifest) -> None:
        pods, replicas = self.pods(deployment), deployment["spec"]["replicas"]
        for pod in sorted(pods, key=first_to_go)[: max(0, len(pods) - replicas)]:
            if is_ready(pod) and self.in_flight.get(pod["metadata"]["name"]):
                self.cut.append(pod["metadata"]["name"])
            self._server.remove(_path(pod))
        for _ in range(replicas - len(pods)):
            name = f"{deployment['metadata']['name']}-{next(self._serial)}"
            labels = dict(deployment["spec"]["template"]["metadata"]["labels"])
            metadata = {"namespace": "team", "name": name, "labels": labels}
            self._server.put(
                PODS.path("team", name),
                {
                    "kind": "Pod",
                    "metadata": metadata,
                    "spec": {"containers": [_of_interest(deployment)]},
                    "status": _status(self.now, ready=False),
                },
            )

    def _publish(self, deployment: Manifest) -> None:
        pods = self.pods(deployment)
        ready = sum(is_ready(pod) for pod in pods)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": self._conditions(deployment),
        }
        self._set_status(deployment, status)

    def _conditions(self, deployment: Manifest) -> list[Manifest]:
        is_overdue = deployment["metadata"]["labels"][LABEL_REVISION] in self.overdue
        reason = "ProgressDeadlineExceeded" if is_overdue else "ReplicaSetUpdated"
        return [{"type": "Progressing", "status": "False" if is_overdue else "True", "reason": reason}]

    def _set_status(self, deployment: Manifest, status: dict[str, Any]) -> None:
        if deployment.get("status") != status:
            deployment["status"] = status
            self._server.changed(_path(deployment))

    def _finish(self, job: Manifest) -> None:
        """One pod, which ends as it is told to."""
        if job.get("status"):
            return
        args = str(job["spec"]["template"]["spec"]["containers"][0]["args"])
        code, message = next((end for model, end in self.checks.items() if model in args), (0, "fits"))
        metadata = {
            "namespace": "team",
            "name": f"{job['metadata']['name']}-{next(self._serial)}",
            "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
            "ownerReferences": [{"kind": "Job", "controller": True, "uid": job["metadata"]["uid"]}],
        }
        ended = {"exitCode": code, "message": message}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"name": "engine", "state": {"terminated": ended}}],
        }
        pod = {"kind": "Pod", "metadata": metadata, "spec": {}, "status": status}
        self._server.put(PODS.path("team", metadata["name"]), pod)
        condition = {"type": "Failed" if code else "Complete", "status": "True"}
        job["status"] = {"startTime": job["metadata"]["creationTimestamp"], "conditions": [condition]}
        self._server.changed(_path(job))

    def _collect_orphans(self) -> None:
        """Pods of Jobs that are gone."""
        jobs = {job["metadata"]["uid"] for job in self._server.of_kind("Job")}
        for pod in self._server.of_kind("Pod"):
            owners = pod["metadata"].get("ownerReferences", ())
            if any(owner["kind"] == "Job" and owner["uid"] not in jobs for owner in owners):
                self._server.remove(_path(pod))

    def _finish_requests(self) -> bool:
        busy = [pod["metadata"]["name"] for pod in self.pods() if is_draining(pod)]
        busy = [name for name in busy if self.in_flight.get(name)]
        for name in busy:
            self.in_flight[name] -= 1
        return bool(busy)


def is_ready(pod: Manifest) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"]["conditions"])


def is_draining(pod: Manifest) -> bool:
    return ANNOTATION_DRAINING in (pod["metadata"].get("annotations") or {})


def first_to_go(pod: Manifest) -> tuple[bool, int, int]:
    """The ReplicaSet's order: not ready first, then by deletion cost, then the youngest."""
    cost = int((pod["metadata"].get("annotations") or {}).get(ANNOTATION_DELETION_COST, 0))
    return is_ready(pod), cost, -int(_number(pod))


def _of_interest(deployment: Manifest) -> Manifest:
    """Of the engine's container."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {"name": container["name"], "resources": container["resources"]}


def _number(pod: Manifest) -> str:
    return str(pod["metadata"]["name"].rpartition("-")[2])


WITHOUT_NODE = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: none",
        }
    ],
}


def _status(now: datetime, *, ready: bool) -> dict[str, Any]:
    changed = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": changed}
    return {
        "phase": "Running",
        "conditions": [condition],
        "containerStatuses": [{"name": "engine", "restartCount": 0, "state": {"running": {}}}],
    }


def _path(item: Manifest) -> str:
    resource = {"Pod": PODS, "Deployment": DEPLOYMENTS, "Job": JOBS}[item["kind"]]
    return resource.path("team", item["metadata"]["name"])


def names(pods: Iterable[Manifest]) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods]
