"""How pods that are too many leave without a lost request. Pure.

In two phases. A victim is marked draining: the gateways give it nothing new. When all of them say that
nothing is in flight, or the time is up, it is released, and only then its Deployment's replicas are lowered.
The marks are annotations, so that nothing is forgotten when the operator dies. Released pods have the lower
deletion cost: the ReplicaSet takes them before those that still drain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from octavo_api.names import (
    ANNOTATION_DELETION_COST,
    ANNOTATION_DRAINING,
    DELETION_COST_DRAINING,
    DELETION_COST_RELEASED,
)
from octavo_operator.engine_pod import EnginePod
from octavo_operator.gateway_reports import GatewayReport
from octavo_operator.timestamps import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """A victim. The marks are still to be written where the pod does not have them."""

    pod: EnginePod
    in_flight: int
    since: datetime
    released: bool
    timed_out: bool = False
    """Released although requests may be in flight; they have the pod's grace period left."""

    @property
    def is_new(self) -> bool:
        return self.pod.draining_since is None

    @property
    def annotations(self) -> dict[str, str]:
        cost = DELETION_COST_RELEASED if self.released else DELETION_COST_DRAINING
        return {
            ANNOTATION_DRAINING: timestamp(self.since),
            ANNOTATION_DELETION_COST: str(cost),
        }

    @property
    def is_marked(self) -> bool:
        return not self.is_new and self.pod.released == self.released


def victims(
    pods: Iterable[EnginePod],
    target: int,
    gateways: Sequence[GatewayReport] | None,
    timeout: timedelta,
    now: datetime,
) -> tuple[Draining, ...]:
    """Those of one revision's pods that go: as many as there are beyond `target`.

    `gateways` is None while nobody has been asked, which proves nothing; empty when there are none.
    """
    live = [pod for pod in pods if pod.is_live]
    first = sorted(live, key=lambda pod: _order(pod, gateways))
    return tuple(_draining(pod, gateways, timeout, now) for pod in first[: max(0, len(live) - target)])


def replicas(current: int, target: int, pods: Iterable[EnginePod]) -> int:
    """What the Deployment says meanwhile: never fewer than the target and the pods that are not released.

    Pods that it has not made yet go without ceremony.
    """
    if target >= current:
        return target
    staying = sum(pod.is_live and not pod.released for pod in pods)
    return min(current, max(target, staying))


def called_back(pods: Iterable[EnginePod], leaving: Iterable[Draining]) -> tuple[EnginePod, ...]:
    """Pods that drain for no reason any more: the scale went up again, or the rollout back."""
    names = {item.pod.name for item in leaving}
    return tuple(
        pod for pod in pods if pod.is_live and pod.draining_since is not None and pod.name not in names
    )


def told(leaving: Sequence[Draining]) -> str:
    """The end of a sentence: what is waited for. No numbers: a status must not move with every request."""
    waiting = [item for item in leaving if not item.released]
    texts = [f"; draining pod {item.pod.name}" for item in waiting[:3]]
    more = [f"; {len(waiting) - 3} more are draining"] if len(waiting) > 3 else []
    return "".join(texts + more)


def _order(pod: EnginePod, gateways: Sequence[GatewayReport] | None) -> tuple[bool | int | float | str, ...]:
    """A ReplicaSet takes pods that are not ready first, so we do too; then the least loaded, the coldest."""
    return (
        pod.is_serving,
        pod.ready,
        not pod.released,
        pod.draining_since is None,
        _in_flight(pod, gateways),
        -pod.created.timestamp(),
        pod.name,
    )


def _in_flight(pod: EnginePod, gateways: Sequence[GatewayReport] | None) -> int:
    reports = (gateway.of(pod.name, pod.uid) for gateway in gateways or ())
    return sum(report.in_flight for report in reports if report is not None)


def _draining(
    pod: EnginePod, gateways: Sequence[GatewayReport] | None, timeout: timedelta, now: datetime
) -> Draining:
    since = now if pod.draining_since is None else pod.draining_since
    # A pod that is not marked yet no gateway can know to drain, whatever it says.
    has_drained = not pod.is_serving or (
        gateways is not None
        and (pod.draining_since is not None or not gateways)
        and all(gateway.has_let_go(pod.name, pod.uid) for gateway in gateways)
    )
    is_late = now - since >= timeout
    return Draining(
        pod=pod,
        in_flight=_in_flight(pod, gateways),
        since=since,
        released=pod.released or has_drained or is_late,
        timed_out=not pod.released and not has_drained and is_late,
    )
