"""Leader election: of several operators the one that holds a Lease acts, the others stand by.

The rules are those of Kubernetes' own components. Another's Lease has run out when we have seen the same
record for its whole duration by our own clock; the time written in it is for people. We stop acting well
before the others may begin: `is_held` turns false by itself `renew_deadline` after the last renewal was sent,
whatever this process was kept from doing meanwhile. Every write names the version that it replaces.

Why not `kubernetes.aio.leaderelection` 37: it measures with the wall clock, which may be set meanwhile;
writes local times as if they were UTC; does not bound a request, so that a lead goes on while one hangs; lets
a refused connection end it with an exception; and releases nothing at the end.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from octavo_api.api_server import LEASES, ApiError, Manifest, Resource
from octavo_api.names import FIELD_MANAGER, LEASE_NAME

log = logging.getLogger(__name__)


def seconds_since_boot() -> float:
    """Monotonic, and where there is such a clock it counts the time that the machine sleeps as well."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseServer(Protocol):
    """The part of ApiServer that is used here; writes of the leader must not be what allows this one."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None: ...

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest: ...

    async def replace(
        self, resource: Resource, namespace: str, manifest: Manifest, *, field_manager: str
    ) -> Manifest: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds. The deadline must be shorter than the duration by more than a write may take to arrive."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    @staticmethod
    def of(duration: float) -> "LeaseTimes":
        """In the proportions of the defaults."""
        return LeaseTimes(duration=duration, renew_deadline=duration * 2 / 3, retry=duration * 2 / 15)


class LeaseLost(Exception):
    """This process must end: another one may act by now."""


class Lease:
    def __init__(
        self,
        server: LeaseServer,
        namespace: str,
        identity: str,
        *,
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = seconds_since_boot,
    ) -> None:
        """`identity` must be another one for each process, also for a restarted one."""
        self.acquired = asyncio.Event()
        """Set once and never unset: who loses the Lease ends."""
        self.last_try: float | None = None
        """By time.monotonic(); None before `run`."""
        self._server = server
        self._namespace = namespace
        self._identity = identity
        self._times = times or LeaseTimes()
        self._clock = clock
        self._held_until = float("-inf")
        self._seen: Manifest | None = None
        self._seen_since = 0.0
        self._ours: Manifest | None = None
        """What the API server answered to our last renewal: the next one needs no look before."""

    @property
    def is_held(self) -> bool:
        return self._clock() < self._held_until

    async def run(self) -> None:
        """Until cancelled; raises LeaseLost."""
        self.last_try = time.monotonic()
        while True:
            if await self._try():
                break
            await asyncio.sleep(self._times.retry * random.uniform(0.8, 1.2))  # noqa: S311
        log.info("%s leads: it holds the Lease %s/%s", self._identity, self._namespace, LEASE_NAME)
        self.acquired.set()
        while True:
            await asyncio.sleep(min(self._times.retry, max(0.0, self._held_until - self._clock())))
            if not self.is_held:
                raise LeaseLost(
                    f"the Lease {self._namespace}/{LEASE_NAME} could not be renewed within "
                    f"{self._times.renew_deadline:.0f} s"
                )
            await self._try()

    async def release(self) -> None:
        """So that another need not wait for its end. Call it when `run` and all that writes have ended."""
        if not self.is_held:
            return
        self._held_until = float("-inf")
        try:
            async with asyncio.timeout(self._times.retry):
                await self._give_up()
        except (ApiError, TimeoutError) as error:
            log.warning(
                "the Lease is not released, the next leader waits %.0f s: %s", self._times.duration, error
            )

    async def _give_up(self) -> None:
        live = await self._server.get(LEASES, self._namespace, LEASE_NAME)
        if live is None or live["spec"].get("holderIdentity") != self._identity:
            return
        spec = {**live["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        await self._server.replace(
            LEASES, self._namespace, {**live, "spec": spec}, field_manager=FIELD_MANAGER
        )
        log.info("%s has released the Lease", self._identity)

    async def _try(self) -> bool:
        """Whether that took or renewed it. Raises LeaseLost."""
        limit = self._times.renew_deadline / 2
        if self.acquired.is_set():
            limit = min(limit, self._held_until - self._clock())
        try:
            async with asyncio.timeout(limit):
                return await self._take_or_renew()
        except (ApiError, TimeoutError) as error:
            self._ours = None
            log.warning("the Lease %s/%s: %s", self._namespace, LEASE_NAME, error or "no answer in time")
            return False
        finally:
            self.last_try = time.monotonic()

    async def _take_or_renew(self) -> bool:
        live = self._ours or await self._server.get(LEASES, self._namespace, LEASE_NAME)
        before = (live or {}).get("spec") or {}
        if live is not None and not self._may_take(before):
            if self.acquired.is_set():
                raise LeaseLost(f"{before['holderIdentity']} has taken the Lease")
            return False
        sent = self._clock()
        spec = self._spec(before)
        if live is None:
            manifest = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"namespace": self._namespace, "name": LEASE_NAME},
                "spec": spec,
            }
            self._ours = await self._server.create(LEASES, self._namespace, manifest)
        else:
            self._ours = await self._server.replace(
                LEASES, self._namespace, {**live, "spec": spec}, field_manager=FIELD_MANAGER
            )
        self._held_until = sent + self._times.renew_deadline
        return True

    def _may_take(self, record: Manifest) -> bool:
        """It is ours, nobody's, or has not moved for as long as its holder promised to renew it."""
        if record != self._seen:
            self._seen, self._seen_since = record, self._clock()
        if record.get("holderIdentity") in (None, "", self._identity):
            return True
        duration = float(record.get("leaseDurationSeconds") or self._times.duration)
        return self._clock() > self._seen_since + duration

    def _spec(self, before: Manifest) -> Manifest:
        now = _now()
        is_ours = before.get("holderIdentity") == self._identity
        changes = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            # The API takes whole seconds.
            "leaseDurationSeconds": max(1, math.ceil(self._times.duration)),
            "acquireTime": (is_ours and before.get("acquireTime")) or now,
            "renewTime": now,
            "leaseTransitions": changes if is_ours or not before else changes + 1,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
