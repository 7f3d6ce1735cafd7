"""The samples of a namespace's engine pods: finds the pods, has them and the gateways asked."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from octavo_api.names import GATEWAY_NAME, LABEL_APP, METRIC_HPA_KV_USAGE
from octavo_operator.metrics_api.samples import (
    EnginePodAddress,
    Gauges,
    Sample,
    kv_usage_samples,
    waiting_samples,
)
from octavo_operator.metrics_api.selectors import Selector
from octavo_operator.observed import Manifest


class Cache(Protocol):
    """An informer."""

    def get(self, namespace: str, name: str) -> Manifest | None: ...

    def of(self, namespace: str, label_value: str) -> tuple[Manifest, ...]: ...


class AskEngines(Protocol):
    async def gauges(self, pods: Iterable[EnginePodAddress]) -> Mapping[EnginePodAddress, Gauges]: ...

    async def close(self) -> None: ...


class WaitingOfGateways(Protocol):
    async def __call__(self, namespace: str) -> Mapping[str, int] | None:
        """Requests that wait at the namespace's gateways, by service; None where one of them did not say."""
        ...

    async def close(self) -> None: ...


class WaitingUnknown(Exception):
    """Unknown is not zero: without an answer the HPA holds, with a zero it would shrink the service."""


class Figures:
    def __init__(
        self, *, pods: Cache, services: Cache, engines: AskEngines, waiting: WaitingOfGateways
    ) -> None:
        self._pods = pods
        self._services = services
        self._engines = engines
        self._waiting = waiting

    async def close(self) -> None:
        await self._engines.close()
        await self._waiting.close()

    def selected(self, namespace: str, selector: Selector) -> tuple[Manifest, ...]:
        """Pods of InferenceServices, by the labels that the cache keeps of them."""
        return tuple(
            pod
            for service in self._services.of(namespace, "")
            for pod in self._pods.of(namespace, service["metadata"]["name"])
            if selector.matches(pod["metadata"]["labels"])
        )

    def named(self, namespace: str, name: str) -> tuple[Manifest, ...]:
        pod = self._pods.get(namespace, name)
        return () if pod is None else (pod,)

    async def samples(self, metric: str, namespace: str, wanted: Iterable[Manifest]) -> tuple[Sample, ...]:
        """Of the wanted pods that serve. Raises WaitingUnknown."""
        addresses = _addresses(wanted)
        if metric == METRIC_HPA_KV_USAGE:
            return kv_usage_samples(await self._engines.gauges(addresses))
        # Of all its pods, asked for or not: what waits for a service is divided among those that serve it.
        services = sorted({address.service for address in addresses})
        of_services = _addresses(pod for service in services for pod in self._pods.of(namespace, service))
        gauges = await self._engines.gauges(of_services)
        if (waiting := await self._waiting(namespace)) is None:
            raise WaitingUnknown(
                f"a gateway of namespace {namespace} does not say how many requests wait; look at its pods: "
                f"kubectl -n {namespace} get pods -l {LABEL_APP}={GATEWAY_NAME}"
            )
        names = {address.name for address in addresses}
        return tuple(sample for sample in waiting_samples(gauges, waiting) if sample.pod in names)


def _addresses(pods: Iterable[Manifest]) -> list[EnginePodAddress]:
    found = (EnginePodAddress.from_manifest(pod) for pod in pods)
    return [address for address in found if address is not None]
