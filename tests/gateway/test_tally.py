"""Which numbers there are, and for how long."""

from octavo_gateway.tally import FORGET_AFTER_SECONDS, Tallies, Tally


def test_what_clients_saw_and_what_they_were_saved_from_add_up() -> None:
    tally = Tally()
    tally.answers.update({200: 7, 400: 2, 429: 1, 499: 5, 500: 3, 599: 1})
    tally.retries.update({"connect": 1, "reset": 1, "failed": 1, "draining": 8, "overloaded": 8})
    tally.breaks.update({("broken", "continued"): 4, ("draining", "continued"): 8, ("broken", "refused"): 1})
    assert (tally.num_requests, tally.num_errors) == (14 + 7, 4 + 7)


def test_a_revision_without_pods_is_forgotten_after_long_and_one_that_came_back_is_not() -> None:
    tallies = Tallies()
    for revision in ("", "gone", "back", "alive"):
        tallies.of("demo", revision).answers[200] += 1
    tallies.forget_revisions_but({("demo", "alive")}, 100.0)
    tallies.forget_revisions_but({("demo", "alive"), ("demo", "back")}, 101.0)
    tallies.forget_revisions_but({("demo", "alive")}, 99.0 + FORGET_AFTER_SECONDS)
    assert set(tallies.revisions("demo")) == {"", "gone", "back", "alive"}
    tallies.forget_revisions_but({("demo", "alive")}, 100.0 + FORGET_AFTER_SECONDS)
    assert set(tallies.revisions("demo")) == {"", "back", "alive"}


def test_a_thousand_revisions_of_a_day_leave_few_behind() -> None:
    tallies = Tallies()
    for number in range(1000):
        tallies.of("demo", f"r{number}").answers[200] += 1
        tallies.forget_revisions_but({("demo", f"r{number}")}, number * 86.4)
    assert len(tallies.revisions("demo")) < FORGET_AFTER_SECONDS / 86.4 + 3
