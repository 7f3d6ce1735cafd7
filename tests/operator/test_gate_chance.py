"""How often chance sends a good canary back, and how soon a bad one goes, by many drawn ones."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from octavo_api.rollout_spec import GateSpec
from octavo_operator.gate import gate
from octavo_operator.traffic import Figures, Window

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SPEC = GateSpec(regression_percent=None)
NUM_LOOKS = 150
"""Of a step of five minutes: the gate looks every two seconds."""
NUM_CANARIES = 200


def failed_after(error: float, *, requests_a_look: int) -> Iterator[int]:
    """Of each canary with that chance of an error, the requests after which it failed; 0 if it did not."""
    draw = random.Random(1)
    for _ in range(NUM_CANARIES):
        errors = 0
        for look in range(1, NUM_LOOKS + 1):
            errors += sum(draw.random() < error for _ in range(requests_a_look))
            seen = Figures(requests=look * requests_a_look, errors=errors)
            window = Window(since=START, revisions={"new": seen}, num_heard=1)
            if gate(SPEC, window, "new", "old").outcome == "fail":
                yield seen.requests
                break
        else:
            yield 0


@pytest.mark.parametrize("requests_a_look", [2, 20])
@pytest.mark.parametrize(("error", "most"), [(0.008, 0.05), (0.005, 0.01)])
def test_hardly_a_canary_within_its_bound_fails_however_often_it_is_looked_at(
    error: float, most: float, requests_a_look: int
) -> None:
    num_failed = sum(map(bool, failed_after(error, requests_a_look=requests_a_look)))
    assert num_failed <= most * NUM_CANARIES


@pytest.mark.parametrize(("error", "half", "nearly_all"), [(0.03, 150, 800), (0.1, 60, 100)])
def test_a_canary_well_over_its_bound_fails_soon_after_it_may_be_judged(
    error: float, half: int, nearly_all: int
) -> None:
    after = sorted(failed_after(error, requests_a_look=20))
    assert after[0] >= SPEC.min_requests, "every one of them failed"
    assert after[NUM_CANARIES // 2] <= half
    assert after[NUM_CANARIES * 95 // 100] <= nearly_all
