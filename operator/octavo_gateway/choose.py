"""Which replica takes a request: weights between revisions, then least load or prefix affinity. Pure."""

import hashlib
from collections.abc import Callable, Sequence, Set

from octavo_gateway.routing import Endpoint, Service

InFlight = Callable[[Endpoint], int]
_OVER_MEAN = 1.25
"""A replica with this much more than the mean load (plus one) passes requests on, warm prefix or not."""


def choose(
    service: Service,
    endpoints: Sequence[Endpoint],
    in_flight: InFlight,
    *,
    draw: float,
    avoid: Set[Endpoint] = frozenset(),
    prefix: bytes = b"",
    revision: str | None = None,
) -> Endpoint | None:
    """The replica for the next request, or None while none that counts is there or has room.

    `draw` in [0, 1) decides between revisions and ties. `avoid` is taken only where nothing else is there.
    With `revision`, only its replicas count, until it is retired. The same arguments give the same answer.
    """
    if revision is not None:
        endpoints = _that_may_go_on(service, endpoints, revision)
    endpoints = [endpoint for endpoint in endpoints if endpoint not in avoid] or endpoints
    chosen = _of_one_revision(service, endpoints, draw)
    free = _with_room(service, chosen, in_flight) or _with_room(service, endpoints, in_flight)
    if not free:
        return None
    if service.policy.policy == "PrefixAware" and prefix:
        return _affine(free, in_flight, prefix)
    return _least_loaded(free, in_flight, draw)


def _that_may_go_on(service: Service, endpoints: Sequence[Endpoint], revision: str) -> Sequence[Endpoint]:
    """Replicas of the revision. Where it has none and no weight, none will come: then all, for an engine
    tells by itself whether its tokens are the same.
    """
    ours = [endpoint for endpoint in endpoints if endpoint.revision == revision]
    is_retired = bool(service.weights) and not service.weights.get(revision)
    return endpoints if is_retired and not ours else ours


def _of_one_revision(service: Service, endpoints: Sequence[Endpoint], draw: float) -> Sequence[Endpoint]:
    """Replicas of the revision that the weights and the draw name; all, where no weight applies."""
    present = {endpoint.revision for endpoint in endpoints}
    weights = [(name, weight) for name, weight in service.weights.items() if name in present and weight > 0]
    point = draw * sum(weight for _, weight in weights)
    for name, weight in weights:
        if point < weight:
            return [endpoint for endpoint in endpoints if endpoint.revision == name]
        point -= weight
    return endpoints


def _with_room(service: Service, endpoints: Sequence[Endpoint], in_flight: InFlight) -> Sequence[Endpoint]:
    return [endpoint for endpoint in endpoints if in_flight(endpoint) < service.max_running_requests]


def _least_loaded(endpoints: Sequence[Endpoint], in_flight: InFlight, draw: float) -> Endpoint:
    """Among equals the draw decides: gateways that all start at the first would crowd it."""
    least = min(in_flight(endpoint) for endpoint in endpoints)
    equals = [endpoint for endpoint in endpoints if in_flight(endpoint) == least]
    # The draw has chosen a revision already; its later digits are still free.
    return equals[int(draw * 1_000_003) % len(equals)]


def _affine(endpoints: Sequence[Endpoint], in_flight: InFlight, prefix: bytes) -> Endpoint:
    """Rendezvous hashing with bounded load: the first in the prefix's own order that is not overfull.

    Of n replicas, one that comes or goes moves 1/n of the prefixes and leaves the others where they are.
    """
    bound = _OVER_MEAN * sum(in_flight(endpoint) for endpoint in endpoints) / len(endpoints) + 1
    in_order = sorted(endpoints, key=lambda endpoint: _rank(endpoint, prefix))
    return next(endpoint for endpoint in in_order if in_flight(endpoint) < bound)


def _rank(endpoint: Endpoint, prefix: bytes) -> bytes:
    return hashlib.blake2b(prefix, digest_size=8, key=endpoint.uid.encode()[:64]).digest()
