"""Who serves which name, and on which pods: one moment of the namespace as a value. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octavo_gateway.known_service import KnownService
from octavo_gateway.pod_view import PodView
from octavo_gateway.routing import Endpoint, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    services: Mapping[str, KnownService] = field(default_factory=dict)
    """By the InferenceService's name."""
    owners: Mapping[str, Service] = field(default_factory=dict)
    """Served name -> the oldest service that serves it."""
    endpoints: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """Service name -> its routable pods, by name. Without a token there are none: they would refuse us."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Service name -> the bearer token of its engines."""
    engines: tuple[PodView, ...] = ()
    """Every engine pod that is known, routable or not."""
    num_gateways: int = 1
    """Ready gateway replicas; at least one, for we are one."""

    @staticmethod
    def of(
        services: Iterable[KnownService], pods: Iterable[PodView], tokens: Mapping[str, str]
    ) -> "RoutingTable":
        known = {each.service.name: each for each in services if not each.is_deleting}
        oldest_first = sorted(known.values(), key=lambda each: (each.creation_timestamp, each.service.name))
        owners: dict[str, Service] = {}
        for each in oldest_first:
            for name in each.service.served_names:
                owners.setdefault(name, each.service)
        pods = sorted(pods, key=lambda pod: pod.name)
        endpoints: defaultdict[str, list[Endpoint]] = defaultdict(list)
        for pod in pods:
            if (endpoint := pod.endpoint) is not None and tokens.get(endpoint.service):
                endpoints[endpoint.service].append(endpoint)
        return RoutingTable(
            services=known,
            owners=owners,
            endpoints={name: tuple(them) for name, them in endpoints.items()},
            tokens=tokens,
            engines=tuple(pod for pod in pods if pod.is_engine),
            num_gateways=max(1, sum(pod.is_ready_gateway for pod in pods)),
        )

    @property
    def revisions(self) -> frozenset[tuple[str, str]]:
        """Those that have pods or weight, each with its service's name."""
        weighed = (
            (name, revision) for name, known in self.services.items() for revision in known.service.weights
        )
        return frozenset((*weighed, *((pod.service, pod.revision) for pod in self.engines)))

    def service_for(self, model: str, host: str) -> Service | None:
        """The oldest service that serves `model`, unless `host` names another one that does, too."""
        named = self.services.get(_first_label(host))
        if named is not None and model in named.service.served_names:
            return named.service
        return self.owners.get(model)

    def models(self, host: str) -> tuple[tuple[str, Service], ...]:
        """Served names in alphabetical order, each with the service that clients of `host` get."""
        found = ((model, self.service_for(model, host)) for model in sorted(self.owners))
        return tuple((model, service) for model, service in found if service is not None)


def _first_label(host: str) -> str:
    return host.partition(".")[0].partition(":")[0]
