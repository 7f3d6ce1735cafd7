"""What is told from a canary's figures, and what is not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traffic_builders import figures

from octavo_api.rollout_spec import GateSpec
from octavo_operator.gate import GateVerdict, gate
from octavo_operator.traffic import Figures, Window

SPEC = GateSpec(regression_percent=None)
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def window(update: Figures, stable: Figures | None = None, *, silent: tuple[str, ...] = ()) -> Window:
    revisions = {"new": update, "old": stable if stable is not None else Figures()}
    return Window(since=START, revisions=revisions, num_heard=2 - len(silent), silent=silent)


def judge(update: Figures, stable: Figures | None = None, spec: GateSpec = SPEC) -> GateVerdict:
    return gate(spec, window(update, stable), "new", "old")


def test_the_message_has_all_figures_with_their_bounds() -> None:
    spec = GateSpec(max_ttft_milliseconds=1500)
    ours = figures(213, ttft=[0.3] * 180 + [1.83] * 20, tpot=[0.021] * 200)
    theirs = figures(2000, 2, ttft=[0.32] * 1900, tpot=[0.020] * 1900)
    verdict = judge(ours, theirs, spec)
    assert verdict == GateVerdict(
        outcome="fail",
        message="revision new: errors 0.0 % of 213 requests (bound 1 %; stable 0.1 %), "
        "TTFT p95 1816 ms of 200 streams (over the bound of 1500 ms; "
        "stable 323 ms, over the regression bound of +50 %), "
        "TPOT p95 23 ms of 200 streams (no bound; stable 21 ms, regression bound +50 %)",
        summary="revision new broke the bounds of its gate: TTFT",
    )


def test_a_canary_within_its_bounds_passes() -> None:
    verdict = judge(figures(50))
    assert verdict == GateVerdict(
        outcome="pass",
        message="revision new: errors 0.0 % of 50 requests (bound 1 %), "
        "TTFT p95 unknown of 0 streams (no bound; stable unknown, not compared), "
        "TPOT p95 unknown of 0 streams (no bound; stable unknown, not compared)",
        summary="revision new keeps the bounds of its gate",
    )


@pytest.mark.parametrize("errors", [0, 17])
def test_too_few_requests_decide_nothing(errors: int) -> None:
    verdict = judge(figures(49, errors, ttft=[9.0] * 49))
    lack = "must answer 50 requests in this step before it is judged"
    assert (verdict.outcome, verdict.summary) == ("hold", f"revision new {lack}")
    assert verdict.message.endswith(f"; it {lack}") and "of 49 requests" in verdict.message


def test_a_canary_that_hangs_until_its_clients_leave_fails_by_their_waiting() -> None:
    hanging = figures(0, ttft=[10.0] * 50)
    over = judge(hanging, spec=replace(SPEC, max_ttft_milliseconds=2000))
    assert (over.outcome, over.summary) == ("fail", "revision new broke the bounds of its gate: TTFT")
    slower = judge(hanging, figures(500, ttft=[0.3] * 500), GateSpec())
    assert (slower.outcome, slower.summary) == ("fail", "revision new broke the bounds of its gate: TTFT")


def test_streams_that_clients_left_are_no_requests_by_which_a_canary_passes() -> None:
    patient = replace(SPEC, max_ttft_milliseconds=60_000)
    for spec in (SPEC, patient):
        assert judge(figures(49, ttft=[10.0] * 900), spec=spec).outcome == "hold"


ERRORS = [
    (50, 1, 1, "hold"),
    (99, 1, 1, "hold"),
    (100, 1, 1, "pass"),
    (50, 2, 1, "hold"),
    (50, 3, 1, "fail"),
    (199, 6, 1, "hold"),
    (199, 7, 1, "fail"),
    (200, 2, 1, "pass"),
    (10_000, 129, 1, "hold"),
    (10_000, 130, 1, "fail"),
    (1000, 1, 0, "fail"),
    (50, 50, 100, "pass"),
    (60, 3, 5, "pass"),
]


@pytest.mark.parametrize(("requests", "errors", "bound", "outcome"), ERRORS)
def test_errors_fail_a_canary_where_their_share_is_over_the_bound_by_more_than_chance(
    requests: int, errors: int, bound: int, outcome: str
) -> None:
    assert judge(figures(requests, errors), spec=replace(SPEC, max_error_percent=bound)).outcome == outcome


# What the stable revision answered meanwhile, and what becomes of a canary with 30 errors of 200.
BESIDE = [
    ((1000, 0), "fail"),
    ((1000, 10), "fail"),
    ((50, 0), "fail"),
    ((1000, 40), "fail"),
    ((1000, 100), "hold"),
    ((1000, 150), "hold"),
    ((1000, 1000), "hold"),
    ((50, 8), "hold"),
    ((49, 8), "fail"),
    ((0, 0), "fail"),
]


@pytest.mark.parametrize(("stable", "outcome"), BESIDE)
def test_a_canary_is_not_blamed_for_errors_that_the_stable_revision_has_as_well(
    stable: tuple[int, int], outcome: str
) -> None:
    assert judge(figures(200, 30), figures(*stable)).outcome == outcome


def test_what_both_revisions_fail_is_told_with_both_figures() -> None:
    verdict = judge(figures(200, 8), figures(1000, 32))
    lack = "does not go on while it and the stable revision both err more than the bound allows"
    assert (verdict.outcome, verdict.summary) == ("hold", f"revision new {lack}")
    assert "errors 4.00 % of 200 requests (over the bound of 1 %; stable 3.2 %)" in verdict.message
    assert verdict.message.endswith(f"; it {lack}")


def test_errors_within_the_bound_pass_beside_a_stable_revision_that_errs_or_does_not() -> None:
    for errors in (0, 1000):
        assert judge(figures(200, 2), figures(1000, errors)).outcome == "pass"


def test_a_canary_that_is_slow_fails_though_both_err() -> None:
    spec = replace(SPEC, max_ttft_milliseconds=1000)
    verdict = judge(figures(200, 30, ttft=[5.0] * 170), figures(1000, 150), spec)
    assert (verdict.outcome, verdict.summary) == ("fail", "revision new broke the bounds of its gate: TTFT")


def test_a_share_just_over_the_bound_does_not_read_like_it() -> None:
    assert "errors 1.04 % of 10000 requests (over the bound of 1 %)" in judge(figures(10_000, 104)).message


LATENCIES = [
    ("max_ttft_milliseconds", "TTFT", "ttft", 0.5),
    ("max_tpot_milliseconds", "TPOT", "tpot", 0.05),
]


@pytest.mark.parametrize(("field", "name", "kind", "seconds"), LATENCIES)
def test_a_latency_over_its_bound_fails_and_one_within_passes(
    field: str, name: str, kind: str, seconds: float
) -> None:
    ours = figures(60, **{kind: [seconds] * 60})  # type: ignore[arg-type]
    over = judge(ours, spec=replace(SPEC, **{field: round(seconds * 900)}))
    assert (over.outcome, over.summary) == ("fail", f"revision new broke the bounds of its gate: {name}")
    assert judge(ours, spec=replace(SPEC, **{field: round(seconds * 1100)})).outcome == "pass"


def test_a_few_slow_streams_more_than_one_in_twenty_hold_a_canary_and_many_fail_it() -> None:
    spec = replace(SPEC, max_ttft_milliseconds=1000)

    def outcome(num_slow: int) -> str:
        return judge(figures(100, ttft=[0.1] * (100 - num_slow) + [5.0] * num_slow), spec=spec).outcome

    assert [outcome(number) for number in (5, 6, 11, 12)] == ["pass", "hold", "hold", "fail"]
    held = judge(figures(100, ttft=[0.1] * 94 + [5.0] * 6), spec=spec)
    assert held.summary == (
        "revision new must answer more requests in this step: its TTFT may be over a bound by chance"
    )


@pytest.mark.parametrize(("field", "name", "kind", "seconds"), LATENCIES)
def test_a_bound_that_too_few_streams_were_held_against_lets_nobody_pass(
    field: str, name: str, kind: str, seconds: float
) -> None:
    spec = replace(SPEC, **{field: round(seconds * 500)})
    for num in (0, 49):
        ours = figures(500, **{kind: [seconds] * num})  # type: ignore[arg-type]
        verdict = judge(ours, spec=spec)
        assert verdict.outcome == "hold"
        assert verdict.summary == (
            f"revision new must answer 50 streamed requests in this step before its {name} is judged"
        )


def test_a_latency_beyond_what_is_measured_breaks_every_bound_that_is() -> None:
    ours = figures(60, tpot=[100.0] * 60)
    over = judge(ours, spec=replace(SPEC, max_tpot_milliseconds=79_999))
    assert over.outcome == "fail" and "TPOT p95 over 80000 ms" in over.message
    held = judge(ours, spec=replace(SPEC, max_tpot_milliseconds=90_000))
    assert held.outcome == "hold" and "only a lower bound can be judged" in held.summary


@pytest.mark.parametrize(("kind", "seconds"), [("ttft", 0.4), ("tpot", 0.024)])
def test_a_canary_is_compared_with_the_stable_revision_when_both_answered_enough(
    kind: str, seconds: float
) -> None:
    spec = GateSpec()

    def outcome(ours: float, num_ours: int, num_theirs: int) -> str:
        update = figures(500, **{kind: [ours] * num_ours})  # type: ignore[arg-type]
        stable = figures(500, **{kind: [seconds] * num_theirs})  # type: ignore[arg-type]
        return judge(update, stable, spec).outcome

    assert outcome(seconds * 1.1, 60, 60) == "pass"
    assert outcome(seconds * 1.8, 60, 60) == "fail"
    assert outcome(seconds * 1.8, 60, 49) == "pass"
    assert outcome(seconds * 1.8, 49, 60) == "hold"
    assert outcome(seconds * 0.1, 49, 60) == "hold"
    assert outcome(seconds * 0.1, 60, 60) == "pass"


def test_times_that_hardly_differ_are_no_regression_wherever_buckets_end() -> None:
    """With Prometheus' usual buckets, 24 ms beside 26 ms would look like 25 beside 50."""
    stable = figures(500, tpot=[0.024] * 500, ttft=[0.49] * 500)
    update = figures(60, tpot=[0.026] * 60, ttft=[0.51] * 60)
    assert judge(update, stable, GateSpec(regression_percent=30)).outcome == "pass"


@pytest.mark.parametrize(("silent", "num_heard"), [(("g-1",), 1), (("g-1", "g-2"), 0), ((), 0)])
def test_nobody_passes_while_a_gateway_is_silent_and_who_fails_still_fails(
    silent: tuple[str, ...], num_heard: int
) -> None:
    seen = replace(window(figures(100), silent=silent), num_heard=num_heard)
    verdict = gate(SPEC, seen, "new", "old")
    assert verdict.outcome == "hold"
    assert verdict.summary == (
        "revision new does not go on while a replica of the gateway does not tell of its traffic"
    )
    assert all(pod in verdict.message for pod in silent)
    bad = replace(seen, revisions={"new": figures(100, 50)})
    assert gate(SPEC, bad, "new", "old").outcome == "fail"


def test_what_stands_in_a_status_stays_while_requests_come() -> None:
    spec = GateSpec(max_ttft_milliseconds=500)
    summaries = {
        judge(figures(num, ttft=[0.001 * num] * num), figures(num * 9, ttft=[0.1] * num), spec).summary
        for num in range(1, 50)
    }
    assert len(summaries) == 1


COUNTS = st.integers(0, 300)
SECONDS = st.lists(st.floats(0.001, 10.0), max_size=120)


@given(COUNTS, st.integers(0, 30), st.integers(0, 900), SECONDS, SECONDS, st.booleans())
def test_a_pass_keeps_every_bound_and_a_failure_breaks_one(
    requests: int, errors: int, their_errors: int, ours: list[float], theirs: list[float], is_bound: bool
) -> None:
    spec = GateSpec(max_ttft_milliseconds=700 if is_bound else None)
    update, stable = (
        figures(requests, min(errors, requests), ttft=ours),
        figures(900, their_errors, ttft=theirs),
    )
    verdict = judge(update, stable, spec)
    if verdict.outcome == "hold":
        return
    p95, other = update.ttft.percentile(95), stable.ttft.percentile(95)
    is_slow = p95 is not None and is_bound and p95.seconds > 0.7
    is_slower = (
        p95 is not None and other is not None and len(theirs) >= 50 and p95.seconds > 1.5 * other.seconds
    )
    is_erring = update.errors * 100 > requests
    if verdict.outcome == "fail":
        assert (is_erring and requests >= 50) or (len(ours) >= 50 and (is_slow or is_slower))
    else:
        assert requests >= 50 and not (is_slow or is_slower or is_erring)
        assert len(ours) >= 50 or not (is_bound or len(theirs) >= 50)
