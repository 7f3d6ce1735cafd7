"""What a gateway's pod says of each service's traffic, as values. Pure; `octavo_gateway.traffic` says it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from octavo_operator.told_numbers import seconds, whole


class Bucket(NamedTuple):
    low: float
    high: float
    """Seconds, more than `low` and at most `high`; the last bucket's is infinite."""
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    seconds: float
    is_at_least: bool = False
    """It lies in the bucket that has no end, and `seconds` is where that begins."""


@dataclass(frozen=True, slots=True)
class Histogram:
    buckets: tuple[Bucket, ...] = ()
    """In order, and only those that hold something."""

    @staticmethod
    def from_json(raw: Iterable[Iterable[Any]]) -> "Histogram":
        """Of pairs (upper bound, how many took at most so long), the last bound being null.

        Raises TypeError or ValueError for what is no such thing.
        """
        found = []
        low, so_far, high = 0.0, 0, 0.0
        for bound, number in raw:
            high, total = math.inf if bound is None else seconds(bound), whole(number)
            if high <= low or total < so_far:
                raise ValueError(f"the edge {bound}: {number} does not go up from {low}: {so_far}")
            if total > so_far:
                found.append(Bucket(low, high, total - so_far))
            low, so_far = high, total
        if high != math.inf:
            raise ValueError("the last bucket has an end")
        return Histogram(tuple(found))

    @property
    def total(self) -> int:
        return sum(bucket.number for bucket in self.buckets)

    def plus(self, other: "Histogram") -> "Histogram":
        counts = self._counts()
        for low, high, count in other.buckets:
            counts[low, high] = counts.get((low, high), 0) + count
        return _histogram(counts)

    def minus(self, before: "Histogram") -> "Histogram":
        """What came since. Raises ValueError where there was more before."""
        counts = self._counts()
        for low, high, count in before.buckets:
            counts[low, high] = counts.get((low, high), 0) - count
            if counts[low, high] < 0:
                raise ValueError("there was more before")
        return _histogram(counts)

    def percentile(self, percent: float) -> Percentile | None:
        """By the rules of Prometheus' histogram_quantile, so that a dashboard shows the same: linear within
        a bucket, the first one beginning at 0; the last one's beginning where it lies in that; None of none.
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        rank, so_far = self.total * percent / 100, 0
        for low, high, count in self.buckets:
            if so_far + count >= rank:
                if high == math.inf:
                    return Percentile(seconds=low, is_at_least=True)
                return Percentile(seconds=low + (high - low) * (rank - so_far) / count)
            so_far += count
        return None

    def num_above(self, seconds: float) -> float:
        """How many took longer, with a bucket's share where `seconds` lies within one; of the last bucket,
        which has no end, none.
        """
        number = 0.0
        for low, high, count in self.buckets:
            if seconds <= low:
                number += count
            elif seconds < high < math.inf:
                number += count * (high - seconds) / (high - low)
        return number

    def _counts(self) -> dict[tuple[float, float], int]:
        return {(low, high): count for low, high, count in self.buckets}


def _histogram(counts: Mapping[tuple[float, float], int]) -> Histogram:
    # By the end first: buckets of two gateways' versions may overlap.
    ordered = sorted(counts.items(), key=lambda item: (item[0][1], item[0][0]))
    return Histogram(tuple(Bucket(low, high, count) for (low, high), count in ordered if count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How a revision answered; counted from some beginning on."""

    requests: int = 0
    """That speak for or against it: answers, and tries on it that broke. Not those that clients left."""
    errors: int = 0
    """Of `requests`: 5xx, broken streams and broken tries, also where another replica saved the client."""
    ttft: Histogram = field(default_factory=Histogram)
    """Streams alone: nobody knows when the first token of a whole answer was there. With those that clients
    left before it, having waited a second or more at a replica: as long as they waited, a lower bound.
    So there can be more of them than `requests`.
    """
    tpot: Histogram = field(default_factory=Histogram)
    """Streams of two tokens and more that one replica made from beginning to end."""

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> "Figures":
        return Figures(
            requests=whole(raw["requests"]),
            errors=whole(raw["errors"]),
            ttft=Histogram.from_json(raw["ttft"]),
            tpot=Histogram.from_json(raw["tpot"]),
        )

    def plus(self, other: "Figures") -> "Figures":
        return Figures(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            ttft=self.ttft.plus(other.ttft),
            tpot=self.tpot.plus(other.tpot),
        )

    def since(self, before: "Figures") -> "Figures":
        """What came since; all of it where any count fell, for then they began anew."""
        if self.requests < before.requests or self.errors < before.errors:
            return self
        try:
            ttft, tpot = self.ttft.minus(before.ttft), self.tpot.minus(before.tpot)
        except ValueError:
            return self
        requests, errors = self.requests - before.requests, self.errors - before.errors
        # Both are counted at once: the gateway forgot the revision, and has met it again.
        if errors > requests:
            return self
        return Figures(requests=requests, errors=errors, ttft=ttft, tpot=tpot)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTraffic:
    waiting: int
    """Requests that wait for a replica now."""
    idle_seconds: float
    """Since the last request came or ended, or since the gateway met the service; 0 while one is open."""
    revisions: Mapping[str, Figures] = field(default_factory=dict)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> "ServiceTraffic":
        return ServiceTraffic(
            waiting=whole(raw["waiting"]),
            idle_seconds=seconds(raw["idle_seconds"]),
            revisions={name: Figures.from_json(item) for name, item in raw["revisions"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficReport:
    pod: str
    instance: str = ""
    """Of the gateway's process: another one counts from zero."""
    uptime_seconds: float = 0.0
    services: Mapping[str, ServiceTraffic] | None = None
    """By the InferenceService's name; None when it did not answer. One that it does not know is not there."""

    @staticmethod
    def from_json(pod: str, raw: Mapping[str, Any]) -> "TrafficReport":
        """Raises KeyError, TypeError, ValueError or AttributeError for what is no such report."""
        return TrafficReport(
            pod=pod,
            instance=str(raw["instance"]),
            uptime_seconds=seconds(raw["uptime_seconds"]),
            services={name: ServiceTraffic.from_json(item) for name, item in raw["services"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    since: datetime
    revisions: Mapping[str, Figures] = field(default_factory=dict)
    num_heard: int = 0
    """Gateway pods that answered this time."""
    silent: tuple[str, ...] = ()
    """Gateway pods that did not; what they count comes in when they answer again."""

    def of(self, revision: str) -> Figures:
        return self.revisions.get(revision, Figures())
