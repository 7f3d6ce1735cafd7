"""Whether a canary may go on, goes back, or has to answer more requests first. Pure.

It fails as soon as enough requests break a bound by more than chance, and passes only when each bound was
judged and kept: that too little is known is no reason to go on. Streams whose clients left before the first
token are among the latencies and not among the requests: a canary that hangs can fail, and cannot pass.
"""

import math
from dataclasses import dataclass
from typing import Literal

from octavo_api.rollout_spec import GateSpec
from octavo_operator.traffic import Figures, Histogram, Percentile, Window

_PERCENT = 95
_DEVIATIONS = 3
_SHARED = "does not go on while it and the stable revision both err more than the bound allows"
Excess = Literal["perhaps", "certain"]


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
        _errors(spec, ours, theirs),
        _latency(spec, "TTFT", spec.max_ttft_milliseconds, ours.ttft, theirs.ttft),
        _latency(spec, "TPOT", spec.max_tpot_milliseconds, ours.tpot, theirs.tpot),
    )
    figures = f"revision {update}: {', '.join(finding.figures for finding in findings)}"
    broken = [finding.name for finding in findings if finding.is_broken]
    if broken:
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


def _errors(spec: GateSpec, ours: Figures, theirs: Figures) -> _Finding:
    """A bound that the stable revision breaks too, where the canary is no worse, is no canary's fault: what
    breaks both, such as a store of files that is away, would otherwise send good revisions back.
    """
    excess = _excess(ours.errors, ours.requests, spec.max_error_percent)
    is_compared = theirs.requests >= max(1, spec.min_requests)
    is_shared = (
        excess is not None
        and is_compared
        and _excess(theirs.errors, theirs.requests, spec.max_error_percent) is not None
        and not _is_worse(ours, theirs)
    )
    # Two digits, for 1.04 must not read as if it were the bound.
    bound, digits = (
        (f"over the bound of {spec.max_error_percent} %", 2)
        if excess
        else (f"bound {spec.max_error_percent} %", 1)
    )
    stable = f"; stable {_percent(theirs):.1f} %" if is_compared else ""
    return _Finding(
        name="errors",
        figures=f"errors {_percent(ours):.{digits}f} % of {ours.requests} requests ({bound}{stable})",
        is_broken=excess == "certain" and not is_shared and ours.requests >= spec.min_requests,
        lack=_SHARED if is_shared else _chance("errors") if excess else "",
    )


def _percent(figures: Figures) -> float:
    return 100 * figures.errors / max(1, figures.requests)


def _is_worse(ours: Figures, theirs: Figures) -> bool:
    """Whether the canary errs so much more than the stable revision that it can be no chance."""
    share = (ours.errors + theirs.errors) / (ours.requests + theirs.requests)
    deviation = math.sqrt(share * (1 - share) * (1 / ours.requests + 1 / theirs.requests))
    difference = ours.errors / ours.requests - theirs.errors / theirs.requests
    return difference > _DEVIATIONS * deviation


def _latency(spec: GateSpec, name: str, bound: int | None, ours: Histogram, theirs: Histogram) -> _Finding:
    own, is_compared = ours.percentile(_PERCENT), _is_compared(spec, theirs)
    over = _slowness(ours, bound / 1000) if bound is not None else None
    worse = _slowness(ours, _limit(spec, theirs)) if is_compared else None
    is_known, lack = ours.total >= spec.min_requests, ""
    if not is_known and (bound is not None or is_compared):
        lack = f"must answer {spec.min_requests} streamed requests in this step before its {name} is judged"
    elif bound is not None and own is not None and own.is_at_least:
        lack = f"has a {name} beyond what the gateways measure: only a lower bound can be judged"
    elif over or worse:
        lack = _chance(name)
    words = (
        f"{_bound(bound, is_over=over is not None)}; {_comparison(spec, theirs, is_worse=worse is not None)}"
    )
    return _Finding(
        name=name,
        figures=f"{name} p95 {_milliseconds(own)} of {ours.total} streams ({words})",
        is_broken=is_known and "certain" in (over, worse),
        lack=lack,
    )


def _slowness(ours: Histogram, seconds: float) -> Excess | None:
    """A 95th percentile is over a bound when more than one in twenty is."""
    return _excess(ours.num_above(seconds), ours.total, 100 - _PERCENT)


def _excess(number: float, total: int, percent: float) -> Excess | None:
    """Whether `number` of `total` is more than `percent`, and so much more that it can be no chance.

    Three standard deviations of what a revision would show that is just at the bound. Without them one lost
    connection among 50 requests would end a canary that loses one in 1000, and so would three slow streams
    where the time to the first token varies as it does with prompts of every length. Two would do for one
    look, but chance has as many tries as there are looks, one every two seconds. In steps of five minutes at
    1, 10 and 50 requests a second, with a bound of 1 % (1000 drawn canaries each):
    that err in 0.8 %: two deviations send 11, 9 and 8 % of them back, three 1.5, 3 and 1 %;
    that err in 0.5 %: two deviations 5, 2 and 2 %, three at most 1 %.
    It takes longer to be sure: half of those that err in 3 % have failed after 140 requests, with two
    deviations after 100, and 95 of 100 after 660 and 440; those that err in 10 % after 60 with either.
    """
    expected = total * percent / 100
    if number <= expected:
        return None
    deviation = math.sqrt(expected * (1 - percent / 100))
    return "certain" if number > expected + _DEVIATIONS * deviation else "perhaps"


def _chance(name: str) -> str:
    return f"must answer more requests in this step: its {name} may be over a bound by chance"


def _is_compared(spec: GateSpec, theirs: Histogram) -> bool:
    return spec.regression_percent is not None and theirs.total >= max(1, spec.min_requests)


def _limit(spec: GateSpec, theirs: Histogram) -> float:
    """In seconds, what is a regression beside the stable revision."""
    stable = theirs.percentile(_PERCENT)
    assert stable is not None and spec.regression_percent is not None
    return stable.seconds * (1 + spec.regression_percent / 100)


def _bound(bound: int | None, *, is_over: bool) -> str:
    if bound is None:
        return "no bound"
    return f"over the bound of {bound} ms" if is_over else f"bound {bound} ms"


def _comparison(spec: GateSpec, theirs: Histogram, *, is_worse: bool) -> str:
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
