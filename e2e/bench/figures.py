"""What a run of the operator's bench found, and how it is told. Pure."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

MEMORY_BOUND_MB = 300
LATENCY_BOUND_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    services: int
    replicas: int
    namespaces: int
    resync_seconds: float
    cores: int
    load_average: float
    """Of the machine before the run: whatever else ran beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Of the operator's process, in MB."""

    resident: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """From sending a change of an InferenceService to a watch's word of the child's change."""

    rate: float
    """Changes a second."""
    p50: float
    p99: float
    longest: float
    number: int
    missing: int

    @staticmethod
    def of(seconds: Sequence[float], *, rate: float, missing: int) -> "Latencies":
        p50, p99 = percentile(seconds, 50), percentile(seconds, 99)
        longest = max(seconds, default=math.inf)
        return Latencies(rate=rate, p50=p50, p99=p99, longest=longest, number=len(seconds), missing=missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    seconds: float
    writes: tuple[str, ...]
    reads_a_second: float
    """InferenceServices and Secrets asked for by name."""
    cpu_share: float
    """Of one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    listed_after: float
    """Seconds until the caches are filled."""
    steady_after: float
    """Seconds until every service has been looked at, and the process is idle."""
    writes: tuple[str, ...]
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    load: Load
    ready_after: float | None = None
    """Seconds from the first InferenceService to the last one Ready."""
    ready_cpu_seconds: float | None = None
    """What the operator's process has taken until then."""
    memory: Memory | None = None
    memory_after_changes: Memory | None = None
    latencies: Latencies | None = None
    rest: Rest | None = None
    restart: Restart | None = None
    gone_after: float | None = None
    """Seconds from deleting the InferenceServices to the end of their last pod."""
    writes_while_deleting: tuple[str, ...] = field(default=())
    """Not none: the gateway of those that are left gets other owners each time."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that so many percent of them do not exceed; infinite for none."""
    if not values:
        return math.inf
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def broken_bounds(figures: Figures) -> list[str]:
    """What was promised and does not hold, of what was measured."""
    memories = [figures.memory, figures.memory_after_changes, figures.restart and figures.restart.memory]
    peak = max((memory.peak for memory in memories if memory), default=0.0)
    found = []
    if peak >= MEMORY_BOUND_MB:
        found.append(f"the operator took {peak:.0f} MB; {MEMORY_BOUND_MB} MB are its bound")
    if (late := figures.latencies) is not None:
        if late.p99 >= LATENCY_BOUND_SECONDS:
            found.append(
                f"p99 from event to action is {late.p99:.2f} s; {LATENCY_BOUND_SECONDS} s is its bound"
            )
        if late.missing:
            found.append(f"{late.missing} changes had no effect")
    for what, writes in _writes(figures).items():
        if writes:
            found.append(f"{len(writes)} writes {what}, the first: {writes[0]}; there should be none")
    return found


def _writes(figures: Figures) -> dict[str, tuple[str, ...]]:
    return {
        "at rest": figures.rest.writes if figures.rest else (),
        "after a restart": figures.restart.writes if figures.restart else (),
    }


def table(figures: Figures) -> str:
    """Two columns; what was not measured is left out."""
    rows = [(name, value) for name, value in _rows(figures) if value]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)


def _rows(figures: Figures) -> list[tuple[str, str]]:
    load = figures.load
    pods = load.services * load.replicas
    return [
        ("load", f"{load.services} services, {pods} pods, {load.namespaces} namespaces"),
        ("machine", f"{load.cores} cores for everything, load average {load.load_average:.1f} before"),
        ("all Ready after", _start(figures)),
        ("memory, all Ready", _memory(figures.memory)),
        *_of_rest(figures.rest, load),
        ("event to action", _latencies(figures.latencies)),
        ("memory after the changes", _memory(figures.memory_after_changes)),
        *_of_restart(figures.restart),
        ("all gone after", _deletion(figures)),
    ]


def _of_rest(rest: Rest | None, load: Load) -> list[tuple[str, str]]:
    if rest is None:
        return []
    every = f"each service every {load.resync_seconds:.0f} s"
    return [
        ("writes at rest", f"{len(rest.writes)} in {rest.seconds:.0f} s"),
        ("reads at rest", f"{rest.reads_a_second:.1f} a second ({every})"),
        ("CPU at rest", f"{rest.cpu_share:.1%} of a core"),
    ]


def _of_restart(restart: Restart | None) -> list[tuple[str, str]]:
    if restart is None:
        return []
    steady = f"steady after {restart.steady_after:.1f} s, {len(restart.writes)} writes"
    return [
        ("restart", f"caches filled after {restart.listed_after:.1f} s, {steady}"),
        ("memory after the restart", _memory(restart.memory)),
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _start(figures: Figures) -> str:
    seconds = _seconds(figures.ready_after)
    cpu = _seconds(figures.ready_cpu_seconds)
    return f"{seconds}, the operator's CPU {cpu}" if cpu else seconds


def _deletion(figures: Figures) -> str:
    seconds = _seconds(figures.gone_after)
    return seconds and f"{seconds}, {len(figures.writes_while_deleting)} writes"


def _memory(value: Memory | None) -> str:
    return "" if value is None else f"{value.resident:.0f} MB resident, {value.peak:.0f} MB at its peak"


def _latencies(late: Latencies | None) -> str:
    if late is None:
        return ""
    return (
        f"p50 {late.p50 * 1000:.0f} ms, p99 {late.p99 * 1000:.0f} ms, longest {late.longest * 1000:.0f} ms "
        f"({late.number} changes, {late.rate:g}/s, {late.missing} without effect)"
    )


def to_json(figures: Figures) -> str:
    return json.dumps(asdict(figures), indent=2) + "\n"
