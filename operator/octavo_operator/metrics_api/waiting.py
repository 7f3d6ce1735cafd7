"""How many requests wait at a namespace's gateways, by service."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from octavo_api.names import GATEWAY_NAME
from octavo_operator.gateway_reports import GatewayPod, running_gateways
from octavo_operator.metrics_api.figures import Cache
from octavo_operator.metrics_api.recent import Recent
from octavo_operator.observed import Manifest


class WaitingRequests(Protocol):
    @property
    def waiting(self) -> int: ...


class TrafficOfGateway(Protocol):
    @property
    def services(self) -> Mapping[str, WaitingRequests] | None:
        """By name; None when the gateway did not answer."""
        ...


AskTraffic = Callable[[tuple[GatewayPod, ...]], Awaitable[Sequence[TrafficOfGateway]]]


class WaitingAtGateways:
    """`gateway_pods` is the informer of the gateways' pods."""

    def __init__(self, gateway_pods: Cache, ask: AskTraffic) -> None:
        self._gateway_pods = gateway_pods
        self._ask = ask
        self._recent = Recent(self._of_namespace)

    async def __call__(self, namespace: str) -> Mapping[str, int] | None:
        """None when one that serves did not answer."""
        return (await self._recent.answers([namespace]))[namespace]

    async def close(self) -> None:
        await self._recent.close()

    async def _of_namespace(self, namespace: str) -> Mapping[str, int] | None:
        ready = filter(_serves, self._gateway_pods.of(namespace, GATEWAY_NAME))
        return total_waiting(await self._ask(running_gateways(ready)))


def total_waiting(reports: Iterable[TrafficOfGateway]) -> Mapping[str, int] | None:
    """A sum with an unknown part is unknown."""
    total: Counter[str] = Counter()
    for report in reports:
        if report.services is None:
            return None
        total.update({name: traffic.waiting for name, traffic in report.services.items()})
    return total


def _serves(pod: Manifest) -> bool:
    """Nothing new waits at one that starts or ends, and it may give no answer any moment."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    is_going = "deletionTimestamp" in pod["metadata"]
    return not is_going and any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
