"""Figures of revisions, as short as a test can say them."""

from collections.abc import Iterable, Mapping

from octavo_gateway.durations import FIRST_TOKEN, PER_TOKEN, Durations, Scale
from octavo_operator.traffic import Figures, Histogram, ServiceTraffic, TrafficReport


def histogram(seconds: Iterable[float], scale: Scale = FIRST_TOKEN) -> Histogram:
    """By the gateway's own buckets."""
    durations = Durations(scale)
    for each in seconds:
        durations.observe(each)
    return Histogram.from_json(durations.edges())


def figures(
    requests: int, errors: int = 0, *, ttft: Iterable[float] = (), tpot: Iterable[float] = ()
) -> Figures:
    return Figures(requests=requests, errors=errors, ttft=histogram(ttft), tpot=histogram(tpot, PER_TOKEN))


def report(
    revisions: Mapping[str, Figures] | None,
    *,
    pod: str = "g",
    instance: str = "",
    uptime_seconds: float = 1e6,
    service: str = "demo",
) -> TrafficReport:
    """Of a gateway that started long ago; one that does not answer where there are no revisions."""
    if revisions is None:
        return TrafficReport(pod=pod)
    return TrafficReport(
        pod=pod,
        instance=instance or pod,
        uptime_seconds=uptime_seconds,
        services={service: ServiceTraffic(waiting=0, idle_seconds=0.0, revisions=revisions)},
    )
