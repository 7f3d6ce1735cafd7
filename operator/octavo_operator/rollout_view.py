"""A rollout as it stands, and the bounds within which it may move: what roll decides on. Pure.

Strategies are such bounds. Surge lets pods come before others go, Replace takes one away first, Canary gives
the wanted revision no more than a share.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from octavo_api.rollout_spec import CanaryStep
from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import EnginePod


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    """One revision's Deployment and pods, without those that are being deleted already."""

    name: str
    created: datetime
    replicas: int
    """As its Deployment says now; its pods may be more or fewer for a moment."""
    pods: int = 0
    draining: int = 0
    ready: int = 0
    """Ready and not draining: where new requests can go."""
    settling: int = 0
    """Of these, the ones that have not been ready for minReadySeconds: nothing goes for them yet."""
    serving: int = 0
    """As `ready`, with pods whose readiness has lapsed: a busy engine may miss a probe and is no dead one."""
    draining_serving: int = 0
    """The same among the draining ones, which can be called back."""
    failed: bool = False
    """It was given up: it gets no request that another revision can take."""
    most_percent: int | None = None
    """It has proved nothing, and another is asked for: its share of the requests only goes down."""

    @property
    def size(self) -> int:
        return max(self.replicas, self.pods)

    @property
    def kept(self) -> int:
        return self.size - self.draining

    @property
    def available(self) -> int:
        return self.ready - self.settling


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    desired: int
    update: str | None
    """The wanted revision; None while it is not known."""
    max_surge: int = 1
    max_unavailable: int = 0
    paused: bool = False
    share: int | None = None
    """Percent of the requests, and of the replicas, that revision `canary` may have; None: all."""
    canary: str | None = None
    """The wanted revision; or, while none may start, the one whose step is under way."""
    stable: str = ""
    """The last revision that was rolled out completely."""
    revisions: tuple[RevisionView, ...] = ()

    @property
    def least_available(self) -> int:
        return max(0, self.desired - self.max_unavailable)

    @property
    def most_pods(self) -> int:
        # One pod cannot be two revisions, so a canary of a single replica always takes a second one.
        surge = max(1, self.max_surge) if self.share is not None and self.desired == 1 else self.max_surge
        return self.desired + surge

    @property
    def most_new(self) -> int:
        """Pods of the wanted revision, its share of them rounded up."""
        return self.desired if self.share is None else pods_of_share(self.desired, self.share)

    @property
    def least_old(self) -> int:
        """What the others keep, whatever the wanted revision can do already."""
        return 0 if self.share is None else max(min(1, self.desired), self.desired - self.most_new)

    @property
    def standing(self) -> RevisionView | None:
        """The wanted revision, once its Deployment exists."""
        return next((item for item in self.revisions if item.name == self.update), None)


def pods_of_share(desired: int, percent: int) -> int:
    """Rounded up: a share of the requests needs somebody to answer them."""
    return -(-desired * percent // 100)


def rollout_view(
    service: InferenceService,
    update: str | None,
    record: RolloutRecord,
    deployments: Iterable[EngineDeployment],
    pods: Iterable[EnginePod],
    now: datetime,
) -> RolloutView:
    """`update` is the wanted revision; what `record` says of a strategy holds only for its own."""
    pods = tuple(pod for pod in pods if pod.is_live)
    settled_before = now - timedelta(seconds=service.rollout.min_ready_seconds)
    revisions = tuple(
        replace(
            _revision_view(
                deployment, [pod for pod in pods if pod.revision == deployment.revision], settled_before
            ),
            failed=deployment.revision in _failed(record),
            most_percent=_most_percent(service, record, deployment.revision),
        )
        for deployment in deployments
        if not deployment.deleting
    )
    is_back = record.failure is not None
    # On the way back as well: what left no room for the new revision leaves none for the old one.
    is_replacing = record.strategy == "Replace" and (record.revision == update or is_back)
    unavailable = service.rollout.max_unavailable
    canary = record.revision if update in (None, record.revision) else None
    share = _share(service, canary, record, revisions)
    return RolloutView(
        desired=service.replicas,
        update=update,
        max_surge=0 if is_replacing else service.rollout.max_surge,
        max_unavailable=max(1, unavailable) if is_replacing else unavailable,
        # What was given up must not stay because somebody wanted to look at it.
        paused=service.rollout.paused and not is_back,
        share=share,
        canary=canary if share is not None else None,
        stable=record.stable,
        revisions=revisions,
    )


def _failed(record: RolloutRecord) -> tuple[str, ...]:
    """One that was complete is all that serves: it is replaced like any other, and not cut off."""
    failure = record.failure
    return (record.abandoned, failure.revision if failure is not None and not failure.was_complete else "")


def _most_percent(service: InferenceService, record: RolloutRecord, revision: str) -> int | None:
    """Of a canary that was superseded: what it has now."""
    if record.strategy != "Canary" or not record.stable or revision in (record.stable, record.revision):
        return None
    return next((item.weight_percent for item in service.status.revisions if item.name == revision), 0)


def _share(
    service: InferenceService,
    canary: str | None,
    record: RolloutRecord,
    revisions: Iterable[RevisionView],
) -> int | None:
    step = canary_step(service, record)
    others = any(item.size > 0 and not item.failed for item in revisions if item.name != canary)
    return step.weight_percent if step is not None and canary is not None and others else None


def canary_step(service: InferenceService, record: RolloutRecord) -> CanaryStep | None:
    """The step under way; None when there is none, or none any more."""
    if record.strategy != "Canary" or record.failure is not None:
        return None
    steps = service.rollout.canary.steps
    return next((step for step in steps if step.weight_percent > record.passed_percent), None)


def _revision_view(
    deployment: EngineDeployment, pods: list[EnginePod], settled_before: datetime
) -> RevisionView:
    staying = [pod for pod in pods if pod.draining_since is None]
    return RevisionView(
        name=deployment.revision,
        created=deployment.created,
        replicas=deployment.replicas,
        pods=len(pods),
        draining=len(pods) - len(staying),
        ready=sum(pod.ready for pod in staying),
        settling=sum(pod.ready_since is not None and pod.ready_since > settled_before for pod in staying),
        serving=sum(pod.is_serving for pod in staying),
        draining_serving=sum(pod.is_serving for pod in pods) - sum(pod.is_serving for pod in staying),
    )
