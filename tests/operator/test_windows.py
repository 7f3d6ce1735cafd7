"""What is counted between two moments, whatever happens to the gateways meanwhile."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from traffic_builders import figures, report

from octavo_operator.observed import ObjectKey
from octavo_operator.traffic import Figures, TrafficReport, Window
from octavo_operator.windows import Windows

KEY = ObjectKey("n", "demo")
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Here:
    """Windows of one service, with the time as seconds."""

    def __init__(self) -> None:
        self.windows = Windows()

    def take(self, seconds: float, *reports: TrafficReport, mark: str = "r2/0") -> Window:
        return self.windows.take(KEY, mark, reports, at(seconds))


def counts(window: Window) -> dict[str, int]:
    return {name: each.requests for name, each in window.revisions.items() if each.requests}


def test_a_window_has_what_came_since_it_was_opened() -> None:
    here = Here()
    before = {"r1": figures(100, 3, ttft=[0.5] * 90), "r2": figures(1)}
    assert here.take(0, report(before)) == Window(
        since=START, revisions={"r1": Figures(), "r2": Figures()}, num_heard=1
    )
    now = {"r1": figures(110, 4, ttft=[0.5] * 95), "r2": figures(2, tpot=[0.1])}
    window = here.take(10, report(now))
    assert window.since == START
    assert window.of("r1") == figures(10, 1, ttft=[0.5] * 5)
    assert window.of("r2") == figures(1, tpot=[0.1])
    assert window.of("never seen") == Figures()


def test_gateways_are_added_up() -> None:
    here = Here()
    here.take(0, report({"r1": figures(5)}, pod="a"), report({"r1": figures(7)}, pod="b"))
    window = here.take(1, report({"r1": figures(6)}, pod="a"), report({"r1": figures(9)}, pod="b"))
    assert counts(window) == {"r1": 3} and window.num_heard == 2


def test_another_step_opens_another_window_and_so_does_a_service_that_was_forgotten() -> None:
    here = Here()
    here.take(0, report({"r1": figures(5)}))
    window = here.take(5, report({"r1": figures(9)}), mark="r2/1")
    assert (window.since, counts(window)) == (at(5), {})
    here.windows.forget(KEY)
    window = here.take(7, report({"r1": figures(11)}), mark="r2/1")
    assert (window.since, counts(window)) == (at(7), {})


def test_services_have_windows_of_their_own() -> None:
    here = Here()
    here.take(0, report({"r1": figures(5)}))
    other = here.windows.take(ObjectKey("n", "other"), "r2/0", [report({"r1": figures(9)})], at(3))
    assert (other.since, counts(other)) == (at(3), {})
    assert here.take(4, report({"r1": figures(6)})).since == START


def test_a_gateway_that_restarted_counts_from_zero_and_what_it_had_counted_stays() -> None:
    here = Here()
    here.take(0, report({"r1": figures(100)}, instance="1"))
    here.take(10, report({"r1": figures(104)}, instance="1"))
    # It has counted more than before already: the counts alone would not tell.
    window = here.take(20, report({"r1": figures(150)}, instance="2", uptime_seconds=8.0))
    assert counts(window) == {"r1": 154}


def test_of_a_gateway_that_is_younger_than_the_window_everything_counts() -> None:
    here = Here()
    here.take(0, report({}, pod="a"))
    young = report({"r1": figures(4)}, pod="b", uptime_seconds=9.0)
    assert counts(here.take(10, report({}, pod="a"), young)) == {"r1": 4}


def test_of_an_older_gateway_that_is_heard_late_only_what_comes_then_counts() -> None:
    here = Here()
    window = here.take(0, report(None, pod="a"))
    assert (window.silent, window.num_heard) == (("a",), 0)
    assert counts(here.take(10, report({"r1": figures(50)}, pod="a", uptime_seconds=11.0))) == {}
    assert counts(here.take(20, report({"r1": figures(53)}, pod="a", uptime_seconds=21.0))) == {"r1": 3}


def test_a_gateway_that_is_silent_for_a_while_brings_its_counts_later() -> None:
    here = Here()
    here.take(0, report({"r1": figures(5)}))
    window = here.take(1, report(None))
    assert (counts(window), window.silent) == ({}, ("g",))
    window = here.take(2, report({"r1": figures(9)}))
    assert (counts(window), window.silent) == ({"r1": 4}, ())


def test_what_a_gateway_counted_that_is_gone_stays() -> None:
    here = Here()
    here.take(0, report({"r1": figures(5)}, pod="a"))
    here.take(1, report({"r1": figures(8)}, pod="a"))
    window = here.take(2)
    assert (counts(window), window.num_heard) == ({"r1": 3}, 0)


def test_a_revision_that_the_gateway_forgot_and_met_again_counts_from_zero() -> None:
    here = Here()
    here.take(0, report({"r1": figures(5)}))
    here.take(1, report({}))
    assert counts(here.take(2, report({"r1": figures(7)}))) == {"r1": 7}


@dataclass
class Gateway:
    """A gateway pod that tells what it counted since its process began."""

    pod: str
    started: float
    num_starts: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def restart(self, now: float) -> None:
        self.started, self.num_starts = now, self.num_starts + 1
        self.requests.clear()
        self.errors.clear()

    def tell(self, now: float) -> TrafficReport:
        revisions = {
            name: figures(number, self.errors[name], ttft=[0.5] * number)
            for name, number in self.requests.items()
        }
        instance = f"{self.pod}-{self.num_starts}"
        return report(revisions, pod=self.pod, instance=instance, uptime_seconds=now - self.started)


ACTIONS = st.one_of(
    st.tuples(st.just("request"), st.integers(0, 2), st.sampled_from(["r1", "r2"]), st.booleans()),
    st.tuples(st.just("restart"), st.integers(0, 2)),
    st.tuples(st.just("forget"), st.integers(0, 2), st.sampled_from(["r1", "r2"])),
    st.tuples(st.just("look"), st.frozensets(st.integers(0, 2))),
    st.tuples(st.just("step")),
)


@given(st.lists(ACTIONS, max_size=60))
def test_nothing_is_counted_twice_or_below_zero_and_nothing_is_lost_that_was_told(
    actions: list[tuple[object, ...]],
) -> None:
    here, gateways = Here(), [Gateway(f"g{number}", -5.0) for number in range(3)]
    mark, now, is_calm = 0, 0.0, True
    requests: Counter[str] = Counter()
    errors: Counter[str] = Counter()

    def look(heard: frozenset[int]) -> Window:
        answers = [
            gateway.tell(now) if number in heard else report(None, pod=gateway.pod)
            for number, gateway in enumerate(gateways)
        ]
        return here.take(now, *answers, mark=str(mark))

    everyone = frozenset(range(3))
    look(everyone)
    for action in actions:
        now += 1.0
        match action:
            case "request", int(number), str(revision), bool(is_error):
                gateways[number].requests[revision] += 1
                gateways[number].errors[revision] += is_error
                requests[revision] += 1
                errors[revision] += is_error
            case "restart", int(number):
                gateways[number].restart(now)
                is_calm = False
            case "forget", int(number), str(revision):
                del gateways[number].requests[revision], gateways[number].errors[revision]
                is_calm = False
            case "look", frozenset(heard):
                window = look(heard)
                assert window.silent == tuple(each.pod for n, each in enumerate(gateways) if n not in heard)
            case ("step",):
                mark, is_calm = mark + 1, True
                requests.clear()
                errors.clear()
                assert counts(look(everyone)) == {}
    now += 1.0
    window = look(everyone)
    for name in ("r1", "r2"):
        found = window.of(name)
        assert 0 <= found.errors <= found.requests <= requests[name]
        assert found.errors <= errors[name]
        assert found.ttft.total == found.requests
        if is_calm:
            assert (found.requests, found.errors) == (requests[name], errors[name])
