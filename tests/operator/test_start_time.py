"""How long a replica takes to start, and that the value does not flap."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operator_builders import BEFORE, pod

from octavo_operator.engine_pod import EnginePod
from octavo_operator.start_time import STEPS, start_seconds


def started(seconds: float, *, ready: bool = True, restarts: int = 0) -> EnginePod:
    made = pod("a", ready=ready, restartCount=restarts)
    return replace(made, created=BEFORE, ready_since=BEFORE + timedelta(seconds=seconds) if ready else None)


def test_it_is_the_time_from_creation_to_ready_rounded_up() -> None:
    assert start_seconds([started(31)], 0) == 45
    assert start_seconds([started(30)], 0) == 30
    assert start_seconds([started(100_000)], 0) == 3600


def test_pods_that_cannot_tell_leave_it_as_it_was() -> None:
    assert start_seconds([], 90) == 90
    assert start_seconds([started(0, ready=False), started(500, restarts=1)], 90) == 90


def test_a_pod_that_was_unready_for_a_while_is_outvoted() -> None:
    assert start_seconds([started(28), started(7000), started(25)], 30) == 30


@pytest.mark.parametrize(
    ("before", "seconds", "after"), [(30, 31, 45), (45, 29, 45), (45, 20, 20), (45, 40, 45), (7, 29, 30)]
)
def test_it_goes_up_at_once_and_down_by_two_steps(before: int, seconds: float, after: int) -> None:
    assert start_seconds([started(seconds)], before) == after


@given(st.lists(st.floats(1, 3600), min_size=1), st.sampled_from(STEPS), st.floats(0.9, 1.1))
def test_starts_about_one_step_move_it_at_most_once(times: list[float], step: int, factor: float) -> None:
    seen = start_seconds([started(step)], 0)
    moves = 0
    for near in (step * factor, step / factor) * 10:
        now = start_seconds([started(near)], seen)
        moves += now != seen
        seen = now
    assert moves <= 1
