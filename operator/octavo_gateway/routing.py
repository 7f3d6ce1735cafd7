"""The seam between what the gateway knows (table, keys, limits, metrics) and what it does (the data path).

Values and protocols only: the data path is handed these and imports nothing of what stands behind them.
Everything runs on one event loop; a method that is not `async` neither blocks nor yields to others.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

Policy = Literal["PrefixAware", "LeastLoaded"]
BreakReason = Literal["broken", "draining"]
"""Whether a stream broke, or its replica had to leave and said so."""
ContinuationOutcome = Literal["continued", "refused", "no_replica", "exhausted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One routable engine pod. A pod that was not ready in between is another endpoint (`ready_since`)."""

    pod: str
    uid: str
    ip: str
    port: int
    service: str
    revision: str
    ready_since: str = ""
    """lastTransitionTime of the pod's Ready condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePolicy:
    """spec.gateway, as far as the data path and admission need it."""

    policy: Policy = "PrefixAware"
    max_queued: int = 1024
    queue_timeout_seconds: float = 60.0
    retries: int = 2
    has_auth: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One InferenceService; equal values may be other objects after each change of the table."""

    name: str
    served_names: tuple[str, ...]
    policy: ServicePolicy = field(default_factory=ServicePolicy)
    weights: Mapping[str, int] = field(default_factory=dict)
    """Revision -> percent; empty: the operator has not said."""
    max_running_requests: int = 256
    """A replica's running requests; the gateway sends it no more at once."""
    created: int = 0
    """Unix seconds of creationTimestamp, for /v1/models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a request may take at most, reserved against limits at admission: an estimate until settled."""

    prompt_tokens: int
    completion_tokens: int


class Table(Protocol):
    """The last known state of the cluster; it stands while the API server is away."""

    def service_for(self, model: str, host: str) -> Service | None:
        """The service that serves `model` to clients of `host` (the Host header, lower case)."""
        ...

    def models(self, host: str) -> tuple[tuple[str, Service], ...]:
        """Served names with their services, as clients of `host` see them."""
        ...

    def routable(self, service: Service) -> tuple[Endpoint, ...]:
        """Replicas that may get new requests, in a stable order."""
        ...

    def token(self, service: Service) -> str:
        """The bearer token that the service's engines accept; "" while the Secret has not been seen."""
        ...


class Keys(Protocol):
    def tenant(self, service: Service, authorization: bytes | None) -> str:
        """The name of the client's key; "" for a service without auth. Raises Unauthorized."""
        ...


class Ticket(Protocol):
    """A request that was let in. Left without `settle`, all that it reserved is given back."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers that tell the client its limits (x-ratelimit-*); may be empty."""
        ...

    def endpoint(
        self, *, avoid: Set[Endpoint] = frozenset(), prefix: bytes = b"", revision: str | None = None
    ) -> AbstractAsyncContextManager[Endpoint]:
        """A replica, counted as in flight until the block ends; waits while none is routable or has room.

        `avoid` is taken only where nothing else is routable. `prefix` is what prefix affinity hashes.
        With `revision` only replicas of it count: a stream that broke goes on there. Of a revision without
        weight and replicas none will come: then any counts, and its engine tells whether it can go on.
        Waits at most `queue_timeout_seconds` since `enter`; with `revision`, since this call.
        Raises Unavailable: the queue is full, or the time is over.
        """
        ...

    def settle(self, *, prompt_tokens: int, completion_tokens: int) -> None:
        """What the request really took; once, inside the block of `enter`."""
        ...


class Admission(Protocol):
    def enter(self, service: Service, tenant: str, cost: Cost) -> AbstractAsyncContextManager[Ticket]:
        """Lets a request in within the tenant's limits. Raises RateLimited."""
        ...


class Lifecycle(Protocol):
    """Of the gateway's own process."""

    @property
    def is_leaving(self) -> bool:
        """True from SIGTERM on: answers carry `connection: close`."""
        ...

    def admit(self) -> AbstractContextManager[None]:
        """Counts a client's request as open while the block runs. Raises Unavailable once refusing."""
        ...


class Recorder(Protocol):
    """Metrics. `service` and `revision` are names.

    Revision "" is where no replica answered: none was reached, or the last one turned the request away.
    What a revision fails is told once: as `finished` where the client saw it, else as `retried` or
    `continued`.
    """

    def finished(self, service: str, revision: str, status: int) -> None:
        """A request's answer ended: `status` is what the client saw, 499 when it left.

        599 where a stream had begun with 200 and could not be completed.
        """
        ...

    def first_token(self, service: str, revision: str, seconds: float) -> None:
        """From the arrival of the request to the first event of its stream, waits included.

        Where the client left before it, after a second or more at a replica of `revision`: to its leaving,
        which is the least that it can have been.
        Streams alone: of a whole answer nobody knows when its first token was there.
        """
        ...

    def per_token(self, service: str, revision: str, seconds: float) -> None:
        """Mean time between the tokens of one stream that came from one replica.

        A stream that went on elsewhere counts for none: its seam is no revision's pace. That it broke counts.
        """
        ...

    def retried(self, service: str, revision: str, reason: str) -> None:
        """`revision` gave no answer, and another try is made. `reason` is one of a few words: connect, reset,
        draining, model_loading, overloaded, token, not_served.
        """
        ...

    def continued(
        self, service: str, revision: str, reason: BreakReason, outcome: ContinuationOutcome
    ) -> None:
        """A stream that broke on `revision` was taken up elsewhere, or why it was not."""
        ...

    def usage(self, service: str, tenant: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Tokens of one request, by the client's key."""
        ...


class Load:
    """Requests in flight to each engine pod from this gateway."""

    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()

    @contextmanager
    def open(self, endpoint: Endpoint) -> Iterator[None]:
        self._in_flight[endpoint.uid] += 1
        try:
            yield
        finally:
            self._in_flight[endpoint.uid] -= 1
            if not self._in_flight[endpoint.uid]:
                del self._in_flight[endpoint.uid]

    def in_flight(self, uid: str) -> int:
        """By the pod's uid: a pod's name may come back as another pod."""
        return self._in_flight[uid]
