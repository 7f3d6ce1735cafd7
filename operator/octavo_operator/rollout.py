"""Which revisions should have how many pods, and which share of the requests. Pure.

There is one way to roll, and strategies are bounds on it (rollout_view). It only sets targets: how a pod that
is too many leaves without a lost request is decided in drain.

Every rule reads the state and no history, so that an operator that was killed goes on where it stood.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octavo_operator.rollout_view import RevisionView, RolloutView


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    targets: Mapping[str, int] = field(default_factory=dict)
    """Revision -> pods that are to stay or come. The wanted revision is absent while it may not start."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """Revision -> percent of the requests; they add up to 100 when there is any revision."""
    is_canary: bool = False
    """The wanted revision has no more than the share of its step."""


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
        # Of a canary the proved one stays, whatever a superseded one serves by now.
        is_canary = view.share is not None
        stays = max(
            alive,
            key=lambda item: (
                is_canary and item.name == view.stable,
                item.serving,
                -item.created.timestamp(),
            ),
        )
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
    if not holders and (view.paused or view.update is None) and view.revisions:
        # Back from zero: the wanted revision if it has been there before, else the last that was proved.
        last = max(view.revisions, key=lambda item: (item.name == view.stable, item.created))
        holders = [view.standing or last]
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
    by_ready = _shares(100, {item.name: item.ready for item in ready})
    given = {view.canary: view.share} if view.canary in by_ready and view.share is not None else {}
    rest = 100 - sum(given.values())
    for item in ready:
        if item.most_percent is not None and item.name not in given:
            given[item.name] = min(item.most_percent, by_ready[item.name] * rest // 100)
    free = {item.name: item.ready for item in ready if item.name not in given}
    return _shares(100 - sum(given.values()), free) | given if free else by_ready


def _shares(whole: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers in the ratio of `counts` that add up to `whole`."""
    total = sum(counts.values())
    shares = {name: whole * count // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(whole * counts[name] % total), name))
    for name in by_remainder[: whole - sum(shares.values())]:
        shares[name] += 1
    return shares
