"""Who may come in, and when: the client's limits, then a place at a replica, waited for within bounds.

A request waits in one line, be it that no replica is routable (it is parked: first start, zero replicas, a
swap on the only accelerator) or that all have as many requests as they run at once.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping, Set
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from octavo_api.spec import RateLimit
from octavo_gateway.activity import Activity
from octavo_gateway.choose import choose
from octavo_gateway.errors import RateLimited, Unavailable
from octavo_gateway.limits import Limiter, Reservation
from octavo_gateway.routing import Cost, Endpoint, Load, Service
from octavo_gateway.waiting_line import Lease, LineFull, WaitingLine, Want

Wait = Literal["parked", "queued"]
_RETRY_AFTER_SECONDS = 5


class AdmissionTable(Protocol):
    def routable(self, service: Service) -> tuple[Endpoint, ...]: ...

    def current(self, service: Service) -> Service: ...

    def rate_limits(self, service: Service) -> tuple[RateLimit, ...]: ...

    @property
    def num_gateways(self) -> int: ...


class AdmissionRecorder(Protocol):
    def waited(self, service: str, wait: Wait) -> None:
        """A request did not get a replica at once."""
        ...

    def refused(self, service: str, code: str) -> None:
        """A request was not let in, or waited in vain."""
        ...


class Admission:
    """Owns the lines, one a service."""

    def __init__(
        self,
        table: AdmissionTable,
        load: Load,
        limiter: Limiter,
        recorder: AdmissionRecorder,
        activity: Activity,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._load = load
        self._limiter = limiter
        self._recorder = recorder
        self._activity = activity
        self._clock = clock
        self._draw = draw
        self._lines: dict[str, tuple[Service, WaitingLine]] = {}

    @asynccontextmanager
    async def enter(self, service: Service, tenant: str, cost: Cost) -> AsyncIterator["AdmittedRequest"]:
        """Lets a request in within the tenant's limits. Raises RateLimited."""
        try:
            reservation = self._limiter.reserve(
                service.name,
                tenant,
                self._table.rate_limits(service),
                cost,
                num_gateways=self._table.num_gateways,
                now=self._clock(),
            )
        except RateLimited:
            self._recorder.refused(service.name, "rate_limit_exceeded")
            raise
        try:
            with self._activity.open(service.name):
                yield AdmittedRequest(self, service, reservation)
        finally:
            reservation.refund(self._clock())

    def wake(self) -> None:
        """The table has changed."""
        for _, line in self._lines.values():
            line.wake()

    def forget_all_but(self, services: Container[str]) -> None:
        """Services that are gone leave no lines behind, once nobody waits in them."""
        self._lines = {name: it for name, it in self._lines.items() if name in services or len(it[1])}

    def waiting(self) -> Iterator[tuple[str, Wait, int]]:
        """By service: how many wait, and for what."""
        for service, line in self._lines.values():
            what = self._wait_of(service)
            yield service.name, "parked", len(line) if what == "parked" else 0
            yield service.name, "queued", len(line) if what == "queued" else 0

    def settle(self, reservation: Reservation, tokens: int) -> None:
        reservation.settle(tokens, self._clock())

    @asynccontextmanager
    async def place(self, want: Want, *, until: float, goes_first: bool) -> AsyncIterator[Endpoint]:
        """A replica for as long as the block runs. Raises Unavailable."""
        service = want.service
        if service.name not in self._lines:
            self._lines[service.name] = service, WaitingLine(self._pick)
        _, line = self._lines[service.name]
        try:
            lease = await line.take(
                want,
                until=until,
                goes_first=goes_first,
                max_waiting=None if goes_first else service.policy.max_queued,
                on_wait=lambda: self._recorder.waited(service.name, self._wait_of(service)),
            )
        except (LineFull, TimeoutError) as error:
            refusal = self._refusal(service, is_full=isinstance(error, LineFull))
            self._recorder.refused(service.name, refusal.code or "")
            raise refusal from None
        try:
            yield lease.endpoint
        finally:
            lease.release()
            # Not `line`: it may have been forgotten while the request ran, and another opened.
            if service.name in self._lines:
                self._lines[service.name][1].wake()

    def _pick(self, want: Want) -> Lease | None:
        endpoint = choose(
            self._table.current(want.service),
            self._table.routable(want.service),
            lambda each: self._load.in_flight(each.uid),
            draw=self._draw(),
            avoid=want.avoid,
            prefix=want.prefix,
            revision=want.revision,
        )
        return _Place.take(self._load, endpoint) if endpoint is not None else None

    def _wait_of(self, service: Service) -> Wait:
        return "queued" if self._table.routable(service) else "parked"

    def _refusal(self, service: Service, *, is_full: bool) -> Unavailable:
        model = service.served_names[0]
        seconds = f"{service.policy.queue_timeout_seconds:g} s"
        if is_full:
            code, message = (
                "queue_full",
                f"{service.policy.max_queued} requests wait for {model!r} already; try again later",
            )
        elif self._wait_of(service) == "parked":
            code, message = "no_ready_replica", f"no replica of {model!r} became ready within {seconds}"
        else:
            code, message = "queue_timeout", f"all replicas of {model!r} were busy for {seconds}"
        return Unavailable(message, code=code, retry_after=_RETRY_AFTER_SECONDS)


class AdmittedRequest:
    """The ticket of one request."""

    def __init__(self, admission: Admission, service: Service, reservation: Reservation) -> None:
        self._admission = admission
        self._service = service
        self._reservation = reservation
        self._entered_at = asyncio.get_running_loop().time()
        self._has_waited = False

    @property
    def headers(self) -> Mapping[str, str]:
        return self._reservation.headers

    def endpoint(
        self, *, avoid: Set[Endpoint] = frozenset(), prefix: bytes = b"", revision: str | None = None
    ) -> AbstractAsyncContextManager[Endpoint]:
        """See `routing.Ticket`. The first call lines up at the end, later ones at the front."""
        now = asyncio.get_running_loop().time()
        start = self._entered_at if revision is None else now
        goes_first, self._has_waited = self._has_waited, True
        return self._admission.place(
            Want(service=self._service, avoid=avoid, prefix=prefix, revision=revision),
            until=start + self._service.policy.queue_timeout_seconds,
            goes_first=goes_first,
        )

    def settle(self, *, prompt_tokens: int, completion_tokens: int) -> None:
        self._admission.settle(self._reservation, prompt_tokens + completion_tokens)


@dataclass(slots=True)
class _Place:
    """One request in flight to a replica."""

    endpoint: Endpoint
    _counted: AbstractContextManager[None]

    @staticmethod
    def take(load: Load, endpoint: Endpoint) -> "_Place":
        counted = load.open(endpoint)
        counted.__enter__()
        return _Place(endpoint, counted)

    def release(self) -> None:
        self._counted.__exit__(None, None, None)
