"""Whether a canary may go on, goes back, or has to answer more requests first. Pure.

It fails as soon as enough requests break a bound, and passes only when each bound could be judged: that too
little is known is no reason to go on.
"""

from dataclasses import dataclass
from typing import Literal

from octavo_api.rollout_spec import GateSpec
from octavo_operator.traffic import Figures, Histogram, Percentile, Window

_PERCENT = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    outcome: Literal["pass", "hold", "fail"]
    message: str
    """All figures with their bounds, as they are at this moment: for events, and for what is written once."""
    summary: str
    """In words that stay while the outcome and its cause do: for a status that is looked at all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """Of errors, TTFT or TPOT."""

    name: str
    figures: str
    is_broken: bool = False
    lack: str = ""
    """Why it cannot be judged yet."""


def gate(spec: GateSpec, window: Window, update: str, stable: str) -> GateVerdict:
    """`update` and `stable` are the names of the revisions."""
    ours, theirs = window.of(update), window.of(stable)
    findings = (
        _errors(spec, ours),
        _latency(spec, "TTFT", spec.max_ttft_milliseconds, ours.ttft, theirs.ttft),
        _latency(spec, "TPOT", spec.max_tpot_milliseconds, ours.tpot, theirs.tpot),
    )
    figures = f"revision {update}: {', '.join(finding.figures for finding in findings)}"
    broken = [finding.name for finding in findings if finding.is_broken]
    if broken and ours.requests >= spec.min_requests:
        summary = f"revision {update} broke the bounds of its gate: {', '.join(broken)}"
        return GateVerdict(outcome="fail", message=figures, summary=summary)
    if lack := _lack(spec, window, ours, findings):
        silent = f" ({', '.join(window.silent)})" if window.silent else ""
        return GateVerdict(
            outcome="hold", message=f"{figures}; it {lack}{silent}", summary=f"revision {update} {lack}"
        )
    summary = f"revision {update} keeps the bounds of its gate"
    return GateVerdict(outcome="pass", message=figures, summary=summary)


def _lack(spec: GateSpec, window: Window, ours: Figures, findings: tuple[_Finding, ...]) -> str:
    """What a pass wants for; "" when nothing does."""
    if ours.requests < spec.min_requests:
        return f"must answer {spec.min_requests} requests in this step before it is judged"
    if window.silent or not window.num_heard:
        return "does not go on while a replica of the gateway does not tell of its traffic"
    return next((finding.lack for finding in findings if finding.lack), "")


def _errors(spec: GateSpec, ours: Figures) -> _Finding:
    percent = 100 * ours.errors / max(1, ours.requests)
    if percent <= spec.max_error_percent:
        bound = f"bound {spec.max_error_percent} %"
        return _Finding(
            name="errors", figures=f"errors {percent:.1f} % of {ours.requests} requests ({bound})"
        )
    # Two digits, for 1.04 must not read as if it were the bound.
    figures = (
        f"errors {percent:.2f} % of {ours.requests} requests (over the bound of {spec.max_error_percent} %)"
    )
    if ours.errors == 1 and spec.max_error_percent > 0:
        # With a bound of 1 % one lost connection among the first 99 requests would be the end of any canary.
        return _Finding(
            name="errors", figures=figures, lack="has one failed request, which alone decides nothing"
        )
    return _Finding(name="errors", figures=figures, is_broken=True)


def _latency(spec: GateSpec, name: str, bound: int | None, ours: Histogram, theirs: Histogram) -> _Finding:
    own, other = ours.percentile(_PERCENT), theirs.percentile(_PERCENT)
    is_known, is_compared = ours.total >= spec.min_requests, _is_compared(spec, theirs)
    is_over = bound is not None and own is not None and own.seconds * 1000 > bound
    is_worse = is_compared and own is not None and other is not None and _is_worse(spec, own, other)
    lack = ""
    if not is_known and (bound is not None or is_compared):
        lack = f"must answer {spec.min_requests} streamed requests in this step before its {name} is judged"
    elif bound is not None and own is not None and own.is_at_least:
        lack = f"has a {name} beyond what the gateways measure: only a lower bound can be judged"
    words = f"{_bound(bound, is_over)}; {_comparison(spec, theirs, is_worse)}"
    return _Finding(
        name=name,
        figures=f"{name} p95 {_milliseconds(own)} of {ours.total} streams ({words})",
        is_broken=is_known and (is_over or is_worse),
        lack=lack,
    )


def _is_compared(spec: GateSpec, theirs: Histogram) -> bool:
    return spec.regression_percent is not None and theirs.total >= max(1, spec.min_requests)


def _is_worse(spec: GateSpec, own: Percentile, other: Percentile) -> bool:
    assert spec.regression_percent is not None
    return own.seconds > other.seconds * (1 + spec.regression_percent / 100)


def _bound(bound: int | None, is_over: bool) -> str:
    if bound is None:
        return "no bound"
    return f"over the bound of {bound} ms" if is_over else f"bound {bound} ms"


def _comparison(spec: GateSpec, theirs: Histogram, is_worse: bool) -> str:
    stable = f"stable {_milliseconds(theirs.percentile(_PERCENT))}"
    if spec.regression_percent is None:
        return f"{stable}, not compared"
    if not _is_compared(spec, theirs):
        return f"{stable} of {theirs.total} streams, too few to compare"
    percent = f"+{spec.regression_percent} %"
    return (
        f"{stable}, over the regression bound of {percent}"
        if is_worse
        else f"{stable}, regression bound {percent}"
    )


def _milliseconds(value: Percentile | None) -> str:
    if value is None:
        return "unknown"
    milliseconds = value.seconds * 1000
    text = f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"
    return f"over {text}" if value.is_at_least else text
