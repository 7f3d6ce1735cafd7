"""Limits of requests and tokens a minute, as token buckets; a reservation is settled by what was used.

Each gateway replica counts for itself and takes limit / (ready gateway replicas) as its share. The error:
- A client whose connections all end at one of n replicas gets 1/n of its limit. The Service spreads
  connections at random, so many clients come close to all of it; one connection does not.
- A full bucket holds a minute's share: after a quiet minute up to twice the limit may pass within the next.
- While a replica comes or goes, replicas disagree on n for as long as the watch takes to tell them (usually
  well below a second). A replica that starts brings full buckets: one more share a start.
- Token counts are estimates until a request is settled. A request that is larger than a full bucket is let in
  when the bucket is full; what it took beyond that is owed, and paid before the next is let in. So one
  request gets through however small the share; in the long run no more passes than the limit.
"""

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from octavo_api.spec import RateLimit
from octavo_gateway.errors import RateLimited
from octavo_gateway.routing import Cost

SECONDS = 60.0
Kind = Literal["requests", "tokens"]  # as in OpenAI's headers


def limit_of(limits: Iterable[RateLimit], tenant: str) -> dict[Kind, int]:
    """A minute's limits of a key: its own entries, else those that name no key; the smallest of several."""
    limits = tuple(limits)
    ours = [each for each in limits if each.key == tenant and tenant]
    found: dict[Kind, int] = {}
    for each in ours or [each for each in limits if each.key is None]:
        numbers: dict[Kind, int | None] = {
            "requests": each.requests_per_minute,
            "tokens": each.tokens_per_minute,
        }
        for kind, number in numbers.items():
            if number is not None:
                found[kind] = min(number, found.get(kind, number))
    return found


class Bucket:
    """Holds `share` and fills at `share` a minute. Below zero it is in debt."""

    def __init__(self, share: float, now: float) -> None:
        self.share = share
        self._level = share
        self._filled_at = now

    def level(self, now: float) -> float:
        return min(self.share, self._level + max(0.0, now - self._filled_at) * self.share / SECONDS)

    def resize(self, share: float, now: float) -> None:
        """What is used stays used: the level keeps its proportion, and debt its size."""
        if share == self.share:
            return
        level = self.level(now)
        self._level = level * share / self.share if level > 0 else level
        self.share, self._filled_at = share, now

    def add(self, amount: float, now: float) -> None:
        """Gives back, or takes where `amount` is negative."""
        self._level = min(self.share, self.level(now) + amount)
        self._filled_at = now

    def wait_for(self, cost: float, now: float) -> float:
        """Seconds until `cost` fits; 0: now. A cost above the share asks for a full bucket."""
        # Levels are sums of fractions: without the grain a full bucket may look a hair below full.
        missing = min(cost, self.share) - self.level(now) - 1e-6
        if missing <= 0:
            return 0.0
        return missing * SECONDS / self.share


@dataclass(slots=True, kw_only=True)
class Reservation:
    """What one request took out of its buckets."""

    amounts: dict[Kind, float]
    headers: Mapping[str, str]
    buckets: Mapping[Kind, Bucket] = field(repr=False)

    def settle(self, tokens: float, now: float) -> None:
        """The request took `tokens`; the difference goes back, or is taken."""
        if (bucket := self.buckets.get("tokens")) is not None:
            bucket.add(self.amounts["tokens"] - tokens, now)
        self.amounts = {}

    def refund(self, now: float) -> None:
        for kind, amount in self.amounts.items():
            self.buckets[kind].add(amount, now)
        self.amounts = {}


NOTHING = Reservation(amounts={}, headers={}, buckets={})


class Limiter:
    """Owns the buckets of this gateway replica: one a service, key and kind."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], dict[Kind, Bucket]] = {}

    def reserve(
        self,
        service: str,
        tenant: str,
        limits: Iterable[RateLimit],
        cost: Cost,
        *,
        num_gateways: int,
        now: float,
    ) -> Reservation:
        """Takes one request and the tokens of `cost`, all or nothing. Raises RateLimited."""
        allowed = limit_of(limits, tenant)
        if not allowed:
            return NOTHING
        buckets = self._buckets_of(service, tenant, allowed, num_gateways, now)
        wanted: dict[Kind, float] = {"requests": 1.0, "tokens": cost.prompt_tokens + cost.completion_tokens}
        amounts = {kind: wanted[kind] for kind in allowed}
        waits = {kind: buckets[kind].wait_for(amount, now) for kind, amount in amounts.items()}
        kind, wait = max(waits.items(), key=lambda each: each[1])
        if wait > 0:
            headers = _headers(allowed, buckets, now)
            seconds = max(1, math.ceil(min(wait, 2 * SECONDS * num_gateways)))
            raise RateLimited(
                f"the limit of {allowed[kind]} {kind} a minute is reached; try again in {seconds} s",
                code="rate_limit_exceeded",
                headers={"retry-after": str(seconds), **headers},
            )
        for kind, amount in amounts.items():
            buckets[kind].add(-amount, now)
        return Reservation(amounts=amounts, headers=_headers(allowed, buckets, now), buckets=dict(buckets))

    def forget_all_but(self, services: Container[str]) -> None:
        """Services that are gone leave no buckets behind."""
        self._buckets = {key: buckets for key, buckets in self._buckets.items() if key[0] in services}

    def _buckets_of(
        self, service: str, tenant: str, allowed: Mapping[Kind, int], num_gateways: int, now: float
    ) -> dict[Kind, Bucket]:
        buckets = self._buckets.setdefault((service, tenant), {})
        for kind in buckets.keys() - allowed.keys():
            del buckets[kind]
        for kind, number in allowed.items():
            share = number / num_gateways
            if kind in buckets:
                buckets[kind].resize(share, now)
            else:
                buckets[kind] = Bucket(share, now)
        return buckets


def _headers(allowed: Mapping[Kind, int], buckets: Mapping[Kind, Bucket], now: float) -> dict[str, str]:
    """OpenAI's: the limit is the key's, what remains is what this replica would still let in."""
    headers: dict[str, str] = {}
    for kind, number in allowed.items():
        bucket = buckets[kind]
        headers[f"x-ratelimit-limit-{kind}"] = str(number)
        headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, math.floor(bucket.level(now) + 1e-6)))
        headers[f"x-ratelimit-reset-{kind}"] = _duration(bucket.wait_for(bucket.share, now))
    return headers


def _duration(seconds: float) -> str:
    """As OpenAI writes it: 120ms, 7.66s, 6m0s."""
    seconds = round(seconds, 3)
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < SECONDS:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(math.ceil(seconds), int(SECONDS))
    return f"{minutes}m{rest}s"
