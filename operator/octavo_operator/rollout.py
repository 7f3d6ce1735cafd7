"""Which revisions should have how many pods, and which share of the requests. Pure.

There is one way to roll, and strategies are bounds on it (rollout_view sets them): Surge lets pods come
before others go, Replace takes one away first, Canary gives the wanted revision no more than a share. It only
sets targets: how a pod that is too many leaves without a lost request is decided in drain.

Every rule reads the state and no history, so that an operator that was killed goes on where it stood.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
    """Percent of the requests, and of the replicas, that the wanted revision may have; None: all."""
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
        return self.desired if self.share is None else -(-self.desired * self.share // 100)

    @property
    def least_old(self) -> int:
        """What the others keep, whatever the wanted revision can do already."""
        return 0 if self.share is None else max(min(1, self.desired), self.desired - self.most_new)

    @property
    def standing(self) -> RevisionView | None:
        """The wanted revision, once its Deployment exists."""
        return next((item for item in self.revisions if item.name == self.update), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    targets: Mapping[str, int] = field(default_factory=dict)
    """Revision -> pods that are to stay or come. The wanted revision is absent while it may not start."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """Revision -> percent of the requests; they add up to 100 when there is any revision."""
    is_canary: bool = False
    """The wanted revision has no more than the share of its step."""


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
        _revision_view(
            deployment,
            [pod for pod in pods if pod.revision == deployment.revision],
            settled_before,
            failed=record.failure is not None and record.failure.revision == deployment.revision,
        )
        for deployment in deployments
        if not deployment.deleting
    )
    # On the way back as well: what left no room for the new revision leaves none for the old one.
    is_replacing = record.strategy == "Replace" and (record.revision == update or record.failure is not None)
    unavailable = service.rollout.max_unavailable
    return RolloutView(
        desired=service.replicas,
        update=update,
        max_surge=0 if is_replacing else service.rollout.max_surge,
        max_unavailable=max(1, unavailable) if is_replacing else unavailable,
        paused=service.rollout.paused,
        share=_share(service, update, record, revisions),
        revisions=revisions,
    )


def _share(
    service: InferenceService, update: str | None, record: RolloutRecord, revisions: Iterable[RevisionView]
) -> int | None:
    step = canary_step(service, record)
    others = any(item.size > 0 and not item.failed for item in revisions if item.name != update)
    return step.weight_percent if step is not None and record.revision == update and others else None


def canary_step(service: InferenceService, record: RolloutRecord) -> CanaryStep | None:
    """The step under way; None when there is none, or none any more."""
    steps = service.rollout.canary.steps
    is_canary = record.strategy == "Canary" and record.failure is None
    return steps[record.step] if is_canary and record.step < len(steps) else None


def _revision_view(
    deployment: EngineDeployment, pods: list[EnginePod], settled_before: datetime, *, failed: bool
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
        failed=failed,
    )


def roll(view: RolloutView) -> Rollout:
    """The wanted revision grows within desired + maxSurge; the old shrinks as that becomes available.

    The old revision covers what the wanted one does not yet. When a third is asked for half-way, the one that
    serves most stays, the other is drained, and only then the third begins.
    """
    new = view.standing
    if new is None or view.paused:
        targets = _hold(view)
        if new is None and view.update is not None and not view.paused:
            targets[view.update] = view.most_pods - sum(targets.values()) if len(targets) < 2 else 0
    else:
        targets = _replace(view, new)
    if view.update in targets:
        targets[view.update] = min(targets[view.update], view.most_new)
    targets = _within_surge(view, targets)
    return Rollout(targets=targets, weights=_weights(view), is_canary=view.share is not None)


def _replace(view: RolloutView, new: RevisionView) -> dict[str, int]:
    old = [item for item in view.revisions if item is not new and item.size > 0]
    # What serves nobody only takes room, perhaps the very accelerator that the wanted revision waits for.
    alive = [item for item in old if item.serving + item.draining_serving > 0]
    # What has failed serves only while nobody else does.
    sound = [item for item in alive if not item.failed]
    alive = sound if sound or new.serving > 0 else alive
    targets = dict.fromkeys((item.name for item in old), 0)
    if alive:
        stays = max(alive, key=lambda item: (item.serving, -item.created.timestamp()))
        leaving = [item for item in alive if item is not stays]
        targets[stays.name] = max(_cover([stays], view.least_available, new), view.least_old)
        targets |= _allot(_cover(leaving, view.least_available, new, stays), leaving)
        if new.size == 0 and any(targets[item.name] for item in leaving):
            return targets | {new.name: 0}
    # Never at the cost of what it serves with already.
    room = max(view.most_pods - sum(targets.values()), min(new.ready, view.desired))
    return targets | {new.name: min(room, view.desired)}


def _cover(items: list[RevisionView], needed: int, *others: RevisionView) -> int:
    """How many pods `items` keep beside `others`, so that `needed` are available.

    Pods go when others are ready, and come back only when others have ceased to serve: a lapse moves nothing.
    """
    least = needed - sum(item.serving for item in others)
    most = needed - sum(item.available for item in others)
    return max(0, least, min(most, sum(item.kept for item in items)))


def _hold(view: RolloutView) -> dict[str, int]:
    """Nothing starts and nothing goes, but a change of scale applies to what serves."""
    holders = [item for item in view.revisions if item.size > 0]
    if not holders and view.paused and view.revisions:
        # Back from zero: the wanted revision if it has been there before, else the last that was.
        holders = [view.standing or max(view.revisions, key=lambda item: item.created)]
    kept = sum(item.kept for item in holders)
    if len(holders) > 1 and view.least_available <= kept <= view.most_pods:
        return {item.name: item.kept for item in holders}
    targets = _allot(view.desired, holders)
    if holders:
        most_ready = max(holders, key=lambda item: (item.ready, item.kept))
        targets[most_ready.name] += view.desired - sum(targets.values())
    return targets


def _allot(total: int, items: Iterable[RevisionView]) -> dict[str, int]:
    """At most `total` pods shared out: first to those that are ready, then to those that can be."""
    by_ready = sorted(items, key=lambda item: (-item.ready, item.created))
    targets = dict.fromkeys((item.name for item in by_ready), 0)
    ready = [(item, item.ready) for item in by_ready]
    kept = [(item, item.kept) for item in by_ready]
    called_back = [(item, item.size) for item in by_ready]
    for item, most in (*ready, *kept, *called_back):
        more = min(most - targets[item.name], total - sum(targets.values()))
        targets[item.name] += max(0, more)
    return targets


def _within_surge(view: RolloutView, targets: Mapping[str, int]) -> dict[str, int]:
    """Growth waits for room: pods that drain still take theirs."""
    sizes = {item.name: item.size for item in view.revisions}
    room = max(0, view.most_pods - sum(sizes.values()))
    bounded = {}
    for name, target in targets.items():
        size = sizes.get(name, 0)
        bounded[name] = min(target, size + room)
        room -= max(0, bounded[name] - size)
    return bounded


def _weights(view: RolloutView) -> dict[str, int]:
    """By ready pods, or the canary's share; while none is ready, whoever comes nearest to it has all."""
    ready = [item for item in view.revisions if item.ready > 0]
    ready = [item for item in ready if not item.failed] or ready
    if not ready:
        order = lambda item: (not item.failed, item.serving, item.kept)  # noqa: E731
        nearest = max(view.revisions, key=order, default=None)
        name = nearest.name if nearest is not None and nearest.kept > 0 else view.update
        return {name: 100} if name is not None else {}
    others = {item.name: item.ready for item in ready if item.name != view.update}
    if view.share is None or len(others) in (0, len(ready)):
        return _shares(100, {item.name: item.ready for item in ready})
    assert view.update is not None
    return _shares(100 - view.share, others) | {view.update: view.share}


def _shares(whole: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers in the ratio of `counts` that add up to `whole`."""
    total = sum(counts.values())
    shares = {name: whole * count // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(whole * counts[name] % total), name))
    for name in by_remainder[: whole - sum(shares.values())]:
        shares[name] += 1
    return shares
