"""Requests and tokens a minute: reserved, settled, given back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo_api.spec import RateLimit
from octavo_gateway.errors import RateLimited
from octavo_gateway.limits import Limiter, Reservation, limit_of
from octavo_gateway.routing import Cost


class Client:
    """One key of one service; time stands still until a test moves it."""

    def __init__(self, *limits: RateLimit, tenant: str = "alice", num_gateways: int = 1) -> None:
        self.limiter = Limiter()
        self.limits = limits
        self.tenant = tenant
        self.num_gateways = num_gateways
        self.now = 1000.0

    def reserve(self, prompt: int = 0, completion: int = 0) -> Reservation:
        return self.limiter.reserve(
            "demo",
            self.tenant,
            self.limits,
            Cost(prompt_tokens=prompt, completion_tokens=completion),
            num_gateways=self.num_gateways,
            now=self.now,
        )

    def num_let_in(self, tries: int, tokens: int = 0) -> int:
        let_in = 0
        for _ in range(tries):
            try:
                self.reserve(tokens)
            except RateLimited:
                continue
            let_in += 1
        return let_in


def requests(number: int, key: str | None = None) -> RateLimit:
    return RateLimit(key=key, requests_per_minute=number)


def tokens(number: int, key: str | None = None) -> RateLimit:
    return RateLimit(key=key, tokens_per_minute=number)


def test_a_key_with_a_limit_of_its_own_has_no_other() -> None:
    limits = [requests(5), tokens(50), requests(9, "alice")]
    assert limit_of(limits, "alice") == {"requests": 9}
    assert limit_of(limits, "bob") == limit_of(limits, "") == {"requests": 5, "tokens": 50}
    assert limit_of([requests(9, "alice")], "bob") == {}


def test_of_two_limits_for_the_same_the_smaller_counts() -> None:
    assert limit_of([requests(7, "alice"), requests(9, "alice"), tokens(1, "alice")], "alice") == {
        "requests": 7,
        "tokens": 1,
    }


def test_without_limits_nothing_is_counted_and_no_header_sent() -> None:
    client = Client()
    assert client.num_let_in(10_000) == 10_000 and client.reserve().headers == {}


def test_a_minute_lets_in_its_requests_and_each_second_its_part() -> None:
    client = Client(requests(60))
    assert client.num_let_in(100) == 60
    client.now += 5
    assert client.num_let_in(100) == 5


def test_the_refusal_says_in_openai_s_headers_when_to_come_back() -> None:
    client = Client(RateLimit(requests_per_minute=6, tokens_per_minute=600))
    for _ in range(6):
        client.reserve(10)
    with pytest.raises(RateLimited) as refusal:
        client.reserve(10)
    assert (refusal.value.code, refusal.value.message) == (
        "rate_limit_exceeded",
        "the limit of 6 requests a minute is reached; try again in 10 s",
    )
    assert refusal.value.headers == {
        "retry-after": "10",
        "x-ratelimit-limit-requests": "6",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "540",
        "x-ratelimit-reset-tokens": "6s",
    }


def test_answers_carry_what_remains() -> None:
    headers = Client(requests(120)).reserve().headers
    assert headers == {
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "119",
        "x-ratelimit-reset-requests": "500ms",
    }


def test_a_refused_request_takes_nothing() -> None:
    client = Client(RateLimit(requests_per_minute=10, tokens_per_minute=100))
    client.reserve(100)
    assert client.num_let_in(50, tokens=100) == 0
    client.now += 60
    assert client.reserve(1).headers["x-ratelimit-remaining-requests"] == "9"


def test_settling_gives_back_what_the_estimate_was_too_high() -> None:
    client = Client(tokens(100))
    reservation = client.reserve(40, 60)
    assert client.num_let_in(1, tokens=50) == 0
    reservation.settle(10, client.now)
    assert client.num_let_in(10, tokens=45) == 2


def test_what_an_estimate_was_too_low_is_owed() -> None:
    client = Client(tokens(100))
    client.reserve(10).settle(200, client.now)
    client.now += 60
    assert client.num_let_in(1, tokens=1) == 0
    client.now += 1
    assert client.num_let_in(1, tokens=1) == 1


def test_a_request_that_was_not_served_costs_nothing() -> None:
    client = Client(RateLimit(requests_per_minute=1, tokens_per_minute=100))
    client.reserve(100).refund(client.now)
    assert client.num_let_in(2, tokens=100) == 1


def test_a_settled_request_cannot_be_given_back() -> None:
    client = Client(RateLimit(requests_per_minute=1, tokens_per_minute=100))
    reservation = client.reserve(100)
    reservation.settle(100, client.now)
    reservation.refund(client.now)
    assert client.num_let_in(1) == 0


def test_a_request_above_the_limit_waits_for_a_full_bucket_and_pays_it_off() -> None:
    client = Client(tokens(100))
    assert client.num_let_in(2, tokens=300) == 1
    client.now += 3 * 60 - 1
    assert client.num_let_in(1, tokens=300) == 0
    client.now += 1
    assert client.num_let_in(1, tokens=300) == 1


def test_replicas_share_the_limit() -> None:
    assert Client(requests(60), num_gateways=3).num_let_in(100) == 20


def test_a_limit_below_the_number_of_replicas_still_lets_one_in_at_its_rate() -> None:
    client = Client(requests(1), num_gateways=4)
    assert client.num_let_in(5) == 1
    client.now += 3 * 60
    assert client.num_let_in(5) == 0
    client.now += 60
    assert client.num_let_in(5) == 1


def test_a_replica_that_comes_or_goes_leaves_what_was_used_used() -> None:
    client = Client(requests(100))
    assert client.num_let_in(50) == 50
    client.num_gateways = 2
    assert client.num_let_in(100) == 25
    client.num_gateways = 1
    assert client.num_let_in(100) == 0


def test_debt_keeps_its_size_when_a_replica_comes() -> None:
    client = Client(tokens(100))
    client.reserve(10).settle(200, client.now)
    client.num_gateways = 2
    assert client.num_let_in(1, tokens=1) == 0
    client.now += 2 * 60
    assert client.num_let_in(1, tokens=1) == 0
    client.now += 60
    assert client.num_let_in(1, tokens=1) == 1


def test_a_changed_limit_counts_at_once_and_a_removed_one_is_gone() -> None:
    client = Client(requests(2))
    held = client.reserve()
    client.limits = (requests(200),)
    assert client.num_let_in(500) == 100
    client.limits = (tokens(5),)
    client.reserve(5)
    held.refund(client.now)
    client.limits = ()
    assert client.num_let_in(500) == 500


def test_keys_and_services_do_not_share_a_bucket() -> None:
    client = Client(requests(1))
    assert client.num_let_in(2) == 1
    client.tenant = "bob"
    assert client.num_let_in(2) == 1


def test_services_that_are_gone_leave_nothing_behind() -> None:
    client = Client(requests(1))
    client.reserve()
    client.limiter.forget_all_but(["other"])
    assert client.num_let_in(2) == 1


@given(
    st.integers(1, 500),
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 300), st.integers(0, 600)), max_size=60),
)
def test_over_any_time_no_more_passes_than_the_rate_a_full_bucket_and_one_estimate(
    limit: int, num_gateways: int, calls: list[tuple[float, int, int]]
) -> None:
    client = Client(tokens(limit), num_gateways=num_gateways)
    share, started, used, largest = limit / num_gateways, client.now, 0, 0
    for wait, estimate, taken in calls:
        client.now += wait
        try:
            reservation = client.reserve(estimate)
        except RateLimited:
            continue
        reservation.settle(taken, client.now)
        used, largest = used + taken, max(largest, taken)
    allowed = share + (client.now - started) * share / 60 + largest
    assert used <= allowed + 1e-3
