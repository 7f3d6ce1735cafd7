"""Histograms of seconds, fine enough to compare two revisions, and coarse for Prometheus.

A percentile out of a histogram is off by up to a bucket. Time per token hardly varies: with the usual bounds,
25 ms and 50 ms, one revision at 24 ms and one at 26 ms look twice as far apart as they may ever be.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

_FINENESS = 1.1
_SHORTEST_SECONDS = 0.001

Edges = list[tuple[float | None, int]]
"""Upper bound and how many took at most so long; None is no bound. Bounds between which nothing fell are
left out: from one edge to the next all is one bucket."""


@dataclass(frozen=True, slots=True)
class Scale:
    coarse: tuple[float, ...]
    """Upper bounds for Prometheus."""
    fine: tuple[float, ...]
    """These and more: neighbours differ by at most a tenth."""

    @staticmethod
    def of(*coarse: float) -> "Scale":
        bounds = sorted({_SHORTEST_SECONDS, *coarse})
        fine = [bounds[0]]
        for low, high in pairwise(bounds):
            num = math.ceil(math.log(high / low) / math.log(_FINENESS))
            fine += [float(f"{low * (high / low) ** (step / num):.4g}") for step in range(1, num)]
            fine.append(high)
        return Scale(coarse, tuple(fine))


# The engine's buckets, so that the two can be laid over each other.
FIRST_TOKEN = Scale.of(
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
PER_TOKEN = Scale.of(
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)


class Durations:
    def __init__(self, scale: Scale) -> None:
        self.total = 0
        self.sum = 0.0
        self._scale = scale
        self._counts: defaultdict[int, int] = defaultdict(int)
        """By the index of the fine bound; few of them ever hold anything."""

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._scale.fine, seconds)] += 1
        self.total += 1
        self.sum += seconds

    def coarse(self) -> list[tuple[str, float]]:
        """As Prometheus has it: cumulative, each bound there."""
        counts = [0] * (len(self._scale.coarse) + 1)
        for index, count in self._counts.items():
            fine = self._scale.fine[index] if index < len(self._scale.fine) else math.inf
            counts[bisect_left(self._scale.coarse, fine)] += count
        names = [*(str(bound) for bound in self._scale.coarse), "+Inf"]
        return [(name, float(sum(counts[: place + 1]))) for place, name in enumerate(names)]

    def edges(self) -> Edges:
        found: Edges = []
        so_far, fine = 0, self._scale.fine
        for index in sorted(self._counts):
            if index and (not found or found[-1][0] != fine[index - 1]):
                found.append((fine[index - 1], so_far))
            so_far += self._counts[index]
            if index < len(fine):
                found.append((fine[index], so_far))
        return [*found, (None, so_far)]
