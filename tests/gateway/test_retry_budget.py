import pytest

from octavo_gateway.errors import Unavailable
from octavo_gateway.retry_budget import RetryBudget


def drained(now: float = 0.0) -> RetryBudget:
    budget = RetryBudget(now)
    while budget.take(now) == 0:
        pass
    return budget


def test_the_requests_of_a_dead_replica_are_retried_at_once() -> None:
    budget = RetryBudget(0.0)
    assert [budget.take(0.0) for _ in range(100)] == [0.0] * 100


def test_an_empty_budget_lets_three_a_second_through() -> None:
    budget = drained()
    assert budget.take(10.0) == 0.0
    waits = [drained().take(0.0) for _ in range(3)]
    assert waits == pytest.approx([2 / 3] * 3)


def test_a_fifth_of_the_requests_may_be_retried() -> None:
    budget = drained(0.0)
    before = budget.take(0.0)
    for _ in range(50):
        budget.request_came()
    assert budget.take(0.0) == pytest.approx(max(0.0, before + 1 / 3 - 10 / 3))


def test_what_can_do_without_leaves_half_of_it() -> None:
    budget = RetryBudget(0.0)
    assert [budget.take_spare(0.0) for _ in range(60)] == [True] * 50 + [False] * 10
    assert budget.take(0.0) == 0.0


def test_a_retry_that_would_wait_long_is_refused_with_a_time_to_come_back() -> None:
    budget = drained()
    with pytest.raises(Unavailable) as refusal:
        for _ in range(100):
            budget.take(0.0)
    assert (refusal.value.code, refusal.value.headers) == ("retry_budget_exhausted", {"retry-after": "10"})
