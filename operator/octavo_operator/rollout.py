"""Which revisions should exist, and with how many replicas.

Today there is one way: surge. The new revision comes up beside the old one, both serve while they can, and
the old one goes when the new one is available. Shares of traffic and steps will be decided here too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from octavo_operator.observed import EngineDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    keep: tuple[EngineDeployment, ...] = ()
    """Older revisions that go on serving for now; they stay as they are."""
    retire: tuple[EngineDeployment, ...] = ()


def surge(deployments: Iterable[EngineDeployment], update: str | None, replicas: int) -> Rollout:
    """`update` is the wanted revision, None while it is not known: then nothing may go."""
    standing = [item for item in deployments if not item.deleting]
    old = tuple(item for item in standing if item.revision != update)
    if update is None:
        return Rollout(keep=old)
    new = next((item for item in standing if item.revision == update), None)
    if new is not None and new.replicas == replicas and new.is_available:
        return Rollout(retire=old)
    # A change of mind during a rollout leaves two older revisions: the one that serves more stays.
    serving = max(old, key=lambda item: (item.available_replicas, item.created), default=None)
    if serving is None or (serving.available_replicas == 0 and new is not None):
        return Rollout(retire=old)
    return Rollout(keep=(serving,), retire=tuple(item for item in old if item is not serving))
