"""What becomes of canaries in a minute's traffic, as the gateways count it and the windows add it up."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from traffic_builders import figures, report

from octavo_api.rollout_spec import GateSpec
from octavo_operator.gate import GateVerdict, gate
from octavo_operator.observed import ObjectKey
from octavo_operator.windows import Windows

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


class Recorded:
    """A minute of two gateways with two revisions, looked at every second."""

    def __init__(self, seed: int = 1, stable: Mapping[str, float] = {}, spread: float = 0.3) -> None:
        self.random, self.spread = random.Random(seed), spread
        self.stable = {"ttft": 0.3, "tpot": 0.02, "share": 9.0, **stable}
        self.counts = [{"new": figures(0), "old": figures(0)} for _ in range(2)]
        self.windows = Windows()

    def answer(self, revision: str, *, ttft: float, tpot: float, error: float = 0.0, share: float) -> None:
        """What a revision answers in a second: medians in seconds, chance of an error, requests."""
        for counts in self.counts:
            num = int(share) + (self.random.random() < share % 1)
            is_error = [self.random.random() < error for _ in range(num)]
            good = [self.random.lognormvariate(0.0, self.spread) for each in is_error if not each]
            came = figures(num, sum(is_error), ttft=[ttft * x for x in good], tpot=[tpot] * len(good))
            counts[revision] = counts[revision].plus(came)

    def verdicts(self, spec: GateSpec, **new: float) -> list[GateVerdict]:
        """`new`: how the canary answers, where it does so otherwise than the stable revision."""
        found = []
        for second in range(60):
            reports = [
                report(dict(counts), pod=f"g{number}", uptime_seconds=1e4 + second)
                for number, counts in enumerate(self.counts)
            ]
            key, now = ObjectKey("n", "demo"), START + timedelta(seconds=second)
            taken = self.windows.take(key, "new/0", reports, now)
            found.append(gate(spec, taken, "new", "old"))
            self.answer("old", **self.stable)
            self.answer("new", **{"ttft": 0.3, "tpot": 0.02, "share": 1.0, **new})
        return found


def course(verdicts: list[GateVerdict]) -> list[str]:
    """The outcomes in turn."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return [each for before, each in zip([None, *outcomes], outcomes, strict=False) if each != before]


@pytest.mark.parametrize("seed", range(10))
def test_a_canary_like_the_stable_revision_is_held_and_then_passes(seed: int) -> None:
    assert course(Recorded(seed).verdicts(GateSpec())) == ["hold", "pass"]


@pytest.mark.parametrize("seed", range(10))
def test_a_canary_is_not_sent_back_for_times_that_vary_as_widely_as_the_stable_ones(seed: int) -> None:
    """Without regard to chance, one in ten such canaries was."""
    assert "fail" not in course(Recorded(seed, spread=1.0).verdicts(GateSpec()))


def test_a_slow_canary_fails_as_soon_as_it_has_answered_enough() -> None:
    verdicts = Recorded().verdicts(GateSpec(), ttft=0.9)
    assert course(verdicts) == ["hold", "fail"]
    assert [verdict.outcome for verdict in verdicts].index("fail") == 25, "two gateways, a request a second"
    assert verdicts[-1].summary == "revision new broke the bounds of its gate: TTFT"


def test_a_canary_of_slow_tokens_fails() -> None:
    verdicts = Recorded().verdicts(GateSpec(), tpot=0.035)
    assert course(verdicts) == ["hold", "fail"]
    assert "TPOT" in verdicts[-1].summary and "TTFT" not in verdicts[-1].summary


def test_an_erring_canary_fails() -> None:
    verdicts = Recorded().verdicts(GateSpec(), error=0.2)
    assert course(verdicts) == ["hold", "fail"]
    assert verdicts[-1].summary == "revision new broke the bounds of its gate: errors"


def test_a_canary_with_too_little_traffic_is_held_to_the_end() -> None:
    assert course(Recorded().verdicts(GateSpec(), share=0.2, error=1.0)) == ["hold"]


def test_where_the_stable_revision_is_as_slow_the_canary_is_no_regression() -> None:
    slow = {"ttft": 2.0, "tpot": 0.08}
    assert course(Recorded(stable=slow).verdicts(GateSpec(), **slow)) == ["hold", "pass"]
    bound = GateSpec(max_ttft_milliseconds=1500)
    assert course(Recorded(stable=slow).verdicts(bound, **slow)) == ["hold", "fail"]


def test_where_all_revisions_err_the_canary_waits_and_goes_back_only_if_it_errs_more() -> None:
    broken = {"error": 0.3}
    assert course(Recorded(stable=broken).verdicts(GateSpec(), **broken)) == ["hold"]
    assert course(Recorded(stable=broken).verdicts(GateSpec(), error=0.9)) == ["hold", "fail"]
