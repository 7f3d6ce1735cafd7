import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traffic_builders import figures, histogram

from octavo_operator.traffic import Bucket, Figures, Histogram, Percentile, ServiceTraffic, TrafficReport

REPORT = {
    "instance": "i",
    "uptime_seconds": 3.5,
    "services": {
        "demo": {
            "waiting": 2,
            "idle_seconds": 0.25,
            "revisions": {
                "r1": {
                    "requests": 3,
                    "errors": 1,
                    "ttft": [[0.2, 0], [0.3, 2], [None, 3]],
                    "tpot": [[None, 0]],
                }
            },
        }
    },
}


def test_a_report_is_read_as_the_gateway_writes_it() -> None:
    ttft = Histogram((Bucket(0.2, 0.3, 2), Bucket(0.3, math.inf, 1)))
    revisions = {"r1": Figures(requests=3, errors=1, ttft=ttft)}
    services = {"demo": ServiceTraffic(waiting=2, idle_seconds=0.25, revisions=revisions)}
    expected = TrafficReport(pod="g", instance="i", uptime_seconds=3.5, services=services)
    assert TrafficReport.from_json("g", REPORT) == expected


@pytest.mark.parametrize(
    "answer",
    [{}, {"services": {}}, REPORT | {"services": []}, REPORT | {"services": {"demo": {"waiting": 1}}}],
)
def test_what_is_no_report_is_refused(answer: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        TrafficReport.from_json("g", answer)


@pytest.mark.parametrize(
    "edges",
    [
        [],
        [[1.0, 1]],
        [[1.0, 2], [None, 1]],
        [[2.0, 1], [1.0, 2], [None, 2]],
        [[None, 1], [1.0, 2]],
        [[-1.0, 0], [None, 1]],
        [["x", 0], [None, 1]],
    ],
)
def test_what_is_no_histogram_is_refused(edges: list[list[object]]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Histogram.from_json(edges)


ENDLESS = [math.inf, -math.inf, math.nan, -1, 10**400, 1e300, "1", None]


@pytest.mark.parametrize("number", ENDLESS)
def test_a_number_that_cannot_be_reckoned_with_makes_it_no_report(number: object) -> None:
    demo = REPORT["services"]["demo"]  # type: ignore[index]
    rev1 = demo["revisions"]["r1"]
    revisions = [
        rev1 | {"requests": number},
        rev1 | {"errors": number},
        rev1 | {"tpot": [[None, number]]},
        rev1 | {"tpot": [[number, 0], [None, 1]]},
    ]
    services = [
        demo | {"waiting": number},
        demo | {"idle_seconds": number},
        *(demo | {"revisions": {"r1": revision}} for revision in revisions),
    ]
    reports = [
        REPORT | {"uptime_seconds": number},
        *(REPORT | {"services": {"demo": service}} for service in services),
    ]
    for report in reports:
        with pytest.raises((TypeError, ValueError)):
            TrafficReport.from_json("g", report)


QUANTILES = [
    ([], None),
    ([Bucket(0.0, 1.0, 100)], Percentile(seconds=0.95)),
    ([Bucket(0.0, 1.0, 95), Bucket(1.0, 2.0, 5)], Percentile(seconds=1.0)),
    ([Bucket(0.0, 1.0, 90), Bucket(1.0, 2.0, 10)], Percentile(seconds=1.5)),
    ([Bucket(0.0, 1.0, 90), Bucket(4.0, 8.0, 10)], Percentile(seconds=6.0)),
    ([Bucket(0.0, 1.0, 95), Bucket(4.0, 8.0, 5)], Percentile(seconds=1.0)),
    ([Bucket(0.0, 1.0, 90), Bucket(2.0, math.inf, 10)], Percentile(seconds=2.0, is_at_least=True)),
    ([Bucket(2.0, math.inf, 1)], Percentile(seconds=2.0, is_at_least=True)),
    ([Bucket(1.0, 2.0, 1)], Percentile(seconds=1.95)),
]


@pytest.mark.parametrize(("buckets", "expected"), QUANTILES)
def test_a_percentile_is_where_prometheus_says(buckets: list[Bucket], expected: Percentile | None) -> None:
    found = Histogram(tuple(buckets)).percentile(95)
    if expected is None or found is None:
        assert found is expected
    else:
        assert (found.seconds, found.is_at_least) == (pytest.approx(expected.seconds), expected.is_at_least)


SECONDS = st.lists(st.floats(min_value=0.001, max_value=2000.0), min_size=1, max_size=60)


@given(SECONDS)
def test_a_percentile_is_off_by_a_tenth_at_most(seconds: list[float]) -> None:
    found = histogram(seconds).percentile(95)
    exact = sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]
    assert found is not None
    assert exact / 1.11 <= found.seconds <= exact * 1.11


NUM_ABOVE = [(0.0, 30), (1.0, 30), (1.5, 25), (2.0, 20), (3.0, 20), (4.0, 20), (4.1, 0), (9.0, 0)]


@pytest.mark.parametrize(("seconds", "number"), NUM_ABOVE)
def test_a_bucket_counts_by_its_share_and_one_without_end_only_as_a_whole(
    seconds: float, number: int
) -> None:
    assert Histogram((Bucket(1.0, 2.0, 10), Bucket(4.0, math.inf, 20))).num_above(seconds) == number


@given(SECONDS, SECONDS)
def test_what_was_added_can_be_taken_away_again(one: list[float], other: list[float]) -> None:
    assert histogram(one).plus(histogram(other)) == histogram([*one, *other])
    assert histogram([*one, *other]).minus(histogram(one)) == histogram(other)


def test_buckets_of_another_version_of_the_gateway_are_counted_too() -> None:
    mixed = Histogram((Bucket(0.0, 1.0, 10),)).plus(Histogram((Bucket(0.5, 1.0, 10), Bucket(1.0, 3.0, 20))))
    assert mixed.total == 40
    found = mixed.percentile(95)
    assert found is not None and found.seconds == pytest.approx(2.8)


@pytest.mark.parametrize(
    "before",
    [
        figures(4),
        figures(3, 2),
        figures(3, 1, ttft=[0.5, 0.5]),
        figures(3, 1, ttft=[7.0]),
        figures(3, 1, tpot=[0.01]),
    ],
)
def test_where_any_count_fell_all_of_them_began_anew(before: Figures) -> None:
    now = figures(3, 1, ttft=[0.5])
    assert now.since(before) == now


def test_what_came_since_is_the_difference() -> None:
    before = figures(3, 1, ttft=[0.5], tpot=[0.01])
    now = figures(10, 2, ttft=[0.5, 0.6, 9.0], tpot=[0.01, 0.02])
    assert now.since(before) == figures(7, 1, ttft=[0.6, 9.0], tpot=[0.02])


def test_more_errors_than_requests_have_not_come_but_began_anew() -> None:
    assert figures(1, 1).since(figures(1, 0)) == figures(1, 1)
