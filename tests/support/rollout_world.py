"""A cluster in values, without I/O: plans are carried out, and checked against what may never happen."""

from collections.abc import Container
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

from operator_builders import BEFORE, NOW, live, observed, passed, revision, service

from octavo_api.names import LABEL_REVISION
from octavo_api.rollout_status import RolloutRecord
from octavo_api.service_status import ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import Ended, EnginePod
from octavo_operator.gateway_reports import EndpointReport, GatewayReport
from octavo_operator.observed import Manifest, Observed, Resolved
from octavo_operator.plan import Plan, plan

DRAIN_SECONDS = 300


@cache
def service_of(
    model: str, replicas: int, surge: int, unavailable: int, paused: bool, history: int, strategy: str
) -> InferenceService:
    rollout = {
        "strategy": strategy,
        "maxSurge": surge,
        "maxUnavailable": unavailable,
        "paused": paused,
        "revisionHistoryLimit": history,
    }
    return service(model={"uri": f"file:///{model}"}, replicas=replicas, rollout=rollout)


@dataclass
class RolloutWorld:
    model: str = "a"
    replicas: int = 1
    surge: int = 1
    unavailable: int = 0
    paused: bool = False
    history: int = 3
    strategy: str = "Auto"
    record: RolloutRecord | None = None
    broken: str = ""
    """A revision whose engines all end as one does that cannot be helped."""
    now: datetime = NOW
    deployments: dict[str, EngineDeployment] = field(default_factory=dict)
    pods: list[EnginePod] = field(default_factory=list)
    in_flight: dict[str, int] = field(default_factory=dict)
    others: tuple[Manifest, ...] = ()
    serial: Any = field(default_factory=count)

    @property
    def service(self) -> InferenceService:
        return service_of(
            self.model,
            self.replicas,
            self.surge,
            self.unavailable,
            self.paused,
            self.history,
            self.strategy,
        )

    @property
    def update(self) -> str:
        return revision(self.service, None).hash8

    @property
    def available(self) -> int:
        return sum(pod.ready and pod.draining_since is None for pod in self.pods)

    @property
    def least(self) -> int:
        """Available pods that no decision of ours may go below. What has failed counts for nothing."""
        if self.record is not None and self.record.failure is not None:
            return 0
        # Auto goes on with Replace where that has begun.
        is_replacing = self.strategy == "Replace" or (self.record and self.record.strategy == "Replace")
        unavailable = max(1, self.unavailable) if is_replacing else self.unavailable
        return max(0, self.replicas - unavailable)

    def size(self, name: str) -> int:
        return max(self.deployments[name].replicas, sum(pod.revision == name for pod in self.pods))

    @property
    def total(self) -> int:
        return sum(map(self.size, self.deployments))

    @property
    def num_kept_revisions(self) -> int:
        """Those that have, or will have, pods that are not on their way out."""
        draining = [pod.revision for pod in self.pods if pod.draining_since is not None]
        return sum(self.size(name) > draining.count(name) for name in self.deployments)

    def observe(self) -> Observed:
        endpoints = {
            pod.name: EndpointReport(
                uid=pod.uid,
                draining=pod.draining_since is not None,
                in_flight=self.in_flight.get(pod.name, 0),
            )
            for pod in self.pods
        }
        return observed(
            self.service,
            status=ServiceStatus(rollout=self.record),
            resolution=Resolved(),
            preflights=passed(self.service, None),
            deployments=tuple(map(self._counted, self.deployments.values())),
            others=self.others,
            pods=tuple(self.pods),
            gateway_reports=(GatewayReport(pod="gateway", synced=True, endpoints=endpoints),),
        )

    def _counted(self, item: EngineDeployment) -> EngineDeployment:
        """As the Deployment controller writes its status."""
        own = [pod for pod in self.pods if pod.revision == item.revision]
        ready = sum(pod.ready for pod in own)
        return replace(
            item,
            existing_replicas=len(own),
            updated_replicas=len(own),
            ready_replicas=ready,
            available_replicas=ready,
        )

    def operate(self, most_writes: int | None = None) -> bool:
        """One visit; ends after so many writes, as a killed operator does. Whether it wrote anything."""
        todo = plan(self.observe(), self.now)
        writes = self._writes(todo)
        for write in writes[:most_writes]:
            before = (self.total, self.available, self.num_kept_revisions)
            write()
            self._check(*before)
        return bool(writes)

    def _check(self, total: int, available: int, num_kept_revisions: int) -> None:
        assert self.total <= max(total, self.replicas + self.surge), "more pods than desired + maxSurge"
        assert self.available >= min(available, self.least), "fewer available than desired - maxUnavailable"
        assert self.num_kept_revisions <= max(2, num_kept_revisions), "a third revision beside two others"

    def _writes(self, todo: Plan) -> list[Any]:
        return [
            *(lambda item=item: self._mark(item.pod, item.since, item.released) for item in todo.marks),
            *(lambda manifest=manifest: self._apply(manifest) for manifest in todo.apply),
            *(lambda item=item: self._scale(item.deployment.revision, item.replicas) for item in todo.scale),
            *(lambda pod=pod: self._mark(pod, None, False) for pod in todo.call_back),
            *(lambda item=item: self._delete(item.revision) for item in todo.delete),
            *([lambda: self._remember(todo)] if todo.record != self.record else []),
        ]

    def _remember(self, todo: Plan) -> None:
        """The status."""
        self.record = todo.record

    def _mark(self, pod: EnginePod, since: datetime | None, released: bool) -> None:
        index = next(index for index, item in enumerate(self.pods) if item.name == pod.name)
        self.pods[index] = replace(self.pods[index], draining_since=since, released=released)

    def _apply(self, manifest: Manifest) -> None:
        if manifest["kind"] != "Deployment":
            kept = [item for item in self.others if item["kind"] != manifest["kind"]]
            self.others = (*kept, live(manifest))
            return
        name = manifest["metadata"]["labels"][LABEL_REVISION]
        created = BEFORE + timedelta(seconds=next(self.serial))
        if (before := self.deployments.get(name)) is not None:
            created = before.created
        self.deployments[name] = EngineDeployment.from_manifest(live(manifest, created))

    def _scale(self, name: str, replicas: int) -> None:
        item = self.deployments[name]
        manifest = {**item.manifest, "spec": {**item.manifest["spec"], "replicas": replicas}}
        self.deployments[name] = replace(item, replicas=replicas, manifest=manifest)

    def _delete(self, name: str) -> None:
        assert self.size(name) == 0, "a Deployment with pods is deleted"
        del self.deployments[name]

    def control(self) -> None:
        """The ReplicaSets make and delete pods."""
        for item in self.deployments.values():
            own = [pod for pod in self.pods if pod.revision == item.revision]
            for pod in sorted(own, key=first_to_go)[: max(0, len(own) - item.replicas)]:
                self._lose(pod)
            for _ in range(item.replicas - len(own)):
                number = next(self.serial)
                self.pods.append(
                    EnginePod(
                        name=f"pod-{number}",
                        uid=f"uid-{number}",
                        revision=item.revision,
                        phase="Running",
                        created=BEFORE + timedelta(seconds=number),
                        ready=False,
                        deleting=False,
                    )
                )

    def _lose(self, pod: EnginePod) -> None:
        is_late = pod.draining_since is not None and self.now - pod.draining_since >= timedelta(
            seconds=DRAIN_SECONDS
        )
        is_cut = pod.ready and self.in_flight.get(pod.name, 0) > 0
        assert not is_cut or is_late, f"{pod.name} goes with requests in flight"
        before = self.available
        self.pods.remove(pod)
        assert self.available >= min(before, self.least), "a ReplicaSet took an available pod"

    def crash(self, index: int) -> None:
        """Its requests end with it."""
        if self.pods:
            self.in_flight.pop(self.pods[index % len(self.pods)].name, None)
        self.change_pod(index, ready=False, lapsed=False)

    def change_pod(self, index: int, **fields: Any) -> None:
        if self.pods:
            index %= len(self.pods)
            self.pods[index] = replace(self.pods[index], **fields)

    def run_engines(self, ready: Container[int] = range(10**6)) -> None:
        """Those of the pods with these numbers become ready, unless they cannot."""
        ended = Ended(exit_code=66, reason="Error", message="too large")
        for index, pod in enumerate(self.pods):
            if pod.revision == self.broken:
                self.pods[index] = replace(pod, ended=ended)
            elif index in ready:
                self.pods[index] = replace(pod, ready=True, lapsed=False)

    def send_requests(self, index: int, is_busy: bool) -> None:
        """A pod that drains gets none, but those it has may end."""
        if index < len(self.pods):
            pod = self.pods[index]
            can_start = pod.ready and pod.draining_since is None
            self.in_flight[pod.name] = int(is_busy and (can_start or self.in_flight.get(pod.name, 0) > 0))

    def settle(self) -> None:
        """With all pods well and all requests answered; raises when it never comes to rest."""
        for _ in range(200):
            self.control()
            self.run_engines()
            self.in_flight.clear()
            if not self.operate():
                self.control()
                return
        raise AssertionError("it does not come to rest")


def first_to_go(pod: EnginePod) -> tuple[bool, int, float]:
    """The ReplicaSet's order: not ready first, then by deletion cost, then the youngest."""
    cost = -2000 if pod.released else -1000 if pod.draining_since is not None else 0
    return pod.ready, cost, -pod.created.timestamp()
