"""Fine enough to compare, coarse for Prometheus."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo_gateway.durations import FIRST_TOKEN, PER_TOKEN, Durations, Scale


@pytest.mark.parametrize("scale", [FIRST_TOKEN, PER_TOKEN])
def test_fine_bounds_are_a_tenth_apart_and_have_the_coarse_ones_among_them(scale: Scale) -> None:
    assert set(scale.coarse) <= set(scale.fine)
    assert all(1.0 < high / low < 1.101 for low, high in pairwise(scale.fine))
    assert len(scale.fine) < 200


def test_only_the_edges_of_buckets_that_hold_something_are_told() -> None:
    durations = Durations(Scale.of(0.001, 0.0011, 0.0012, 0.0013, 0.0014))
    assert durations.edges() == [(None, 0)]
    for seconds in (0.0005, 0.0011, 0.00125, 0.00135, 1.0):
        durations.observe(seconds)
    assert durations.edges() == [(0.001, 1), (0.0011, 2), (0.0012, 2), (0.0013, 3), (0.0014, 4), (None, 5)]


@given(st.lists(st.floats(min_value=0.0, max_value=5000.0)))
def test_each_observation_lies_in_the_bucket_that_the_edges_tell(seconds: list[float]) -> None:
    durations = Durations(FIRST_TOKEN)
    for each in seconds:
        durations.observe(each)
    edges = durations.edges()
    assert edges[-1] == (None, len(seconds))
    for bound, num_at_most in edges[:-1]:
        assert bound is not None
        assert num_at_most == sum(each <= bound for each in seconds)
    for (name, num_at_most), bound in zip(durations.coarse(), FIRST_TOKEN.coarse, strict=False):
        assert (name, num_at_most) == (str(bound), sum(each <= bound for each in seconds))
