"""Targets and weights as tables: what stands, and what is then wanted. A is the oldest revision."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from operator_builders import BEFORE, NOW, deployment, pod, revision, service

from octavo_api.rollout_status import RolloutFailure, RolloutRecord
from octavo_operator.rollout import roll
from octavo_operator.rollout_view import RevisionView, RolloutView, rollout_view


def rev(name: str, size: int, *, ready: int = 0, draining: int = 0, **counts: int) -> RevisionView:
    """`size` pods, `draining` of them drain and serve on; of the others `ready` are ready."""
    return RevisionView(
        name=name,
        created=BEFORE + timedelta(minutes="ABC".index(name)),
        **{
            "replicas": size,
            "pods": size,
            "ready": ready,
            "serving": ready,
            "draining": draining,
            "draining_serving": draining,
            **counts,
        },
    )


def targets(desired: int, update: str | None, *revisions: RevisionView, **fields: Any) -> dict[str, int]:
    view = RolloutView(desired=desired, update=update, revisions=revisions, **fields)
    return dict(roll(view).targets)


def weights(*revisions: RevisionView, update: str | None = "B") -> dict[str, int]:
    return dict(roll(RolloutView(desired=1, update=update, revisions=revisions)).weights)


def test_a_first_revision_starts_whole() -> None:
    assert targets(3, "A") == {"A": 3}


def test_a_new_revision_starts_with_what_the_surge_allows() -> None:
    assert targets(4, "B", rev("A", 4, ready=4)) == {"A": 4, "B": 1}
    assert targets(4, "B", rev("A", 4, ready=4), max_surge=2) == {"A": 4, "B": 2}


@pytest.mark.parametrize(
    ("ready_of_b", "expected"),
    [(0, {"A": 4, "B": 1}), (1, {"A": 3, "B": 1})],
)
def test_the_old_shrinks_by_what_is_ready_of_the_new(ready_of_b: int, expected: dict[str, int]) -> None:
    assert targets(4, "B", rev("A", 4, ready=4), rev("B", 1, ready=ready_of_b)) == expected


def test_the_new_grows_into_the_room_that_the_old_left() -> None:
    assert targets(4, "B", rev("A", 3, ready=3), rev("B", 1, ready=1)) == {"A": 3, "B": 2}


def test_a_pod_that_drains_still_takes_room() -> None:
    assert targets(4, "B", rev("A", 4, ready=3, draining=1), rev("B", 1, ready=1)) == {"A": 3, "B": 1}


def test_with_unavailable_pods_allowed_the_old_shrinks_first() -> None:
    unavailable = {"max_surge": 0, "max_unavailable": 1}
    assert targets(2, "B", rev("A", 2, ready=2), rev("B", 0), **unavailable) == {"A": 1, "B": 0}
    assert targets(2, "B", rev("A", 1, ready=1), rev("B", 0), **unavailable) == {"A": 1, "B": 1}


def test_nothing_of_the_old_goes_before_the_new_deployment_stands() -> None:
    assert targets(2, "B", rev("A", 2, ready=2), max_surge=0, max_unavailable=1) == {"A": 2, "B": 0}
    assert targets(1, "B", rev("A", 1)) == {"A": 1, "B": 1}


def test_an_old_revision_that_serves_nobody_makes_room_at_once() -> None:
    assert targets(1, "B", rev("A", 1), rev("B", 1)) == {"A": 0, "B": 1}


def test_a_missed_probe_of_the_old_kills_nobody() -> None:
    assert targets(1, "B", rev("A", 1, serving=1), rev("B", 1)) == {"A": 1, "B": 1}


def test_a_missed_probe_of_the_new_neither_shrinks_nor_regrows_the_old() -> None:
    b = rev("B", 2, ready=0, serving=2)
    assert targets(4, "B", rev("A", 3, ready=3), b)["A"] == 3
    assert targets(4, "B", rev("A", 2, ready=2), b)["A"] == 2


def test_the_old_is_called_back_when_the_new_breaks() -> None:
    assert targets(1, "B", rev("A", 1, draining=1), rev("B", 1)) == {"A": 1, "B": 1}
    assert targets(4, "B", rev("A", 2, ready=2), rev("B", 3)) == {"A": 2, "B": 1}
    assert targets(4, "B", rev("A", 2, ready=2), rev("B", 1)) == {"A": 4, "B": 1}


def test_a_third_revision_waits_until_the_half_rolled_one_has_begun_to_leave() -> None:
    serving, half = rev("A", 3, ready=3), rev("B", 2, ready=1)
    assert targets(4, "C", serving, half, rev("C", 0)) == {"A": 3, "B": 1, "C": 0}
    assert targets(4, "C", serving, rev("B", 1, ready=1), rev("C", 0)) == {"A": 4, "B": 1, "C": 0}
    assert targets(4, "C", rev("A", 4, ready=4), rev("B", 1, ready=1), rev("C", 0)) == {
        "A": 4,
        "B": 0,
        "C": 0,
    }
    assert targets(4, "C", rev("A", 4, ready=4), rev("B", 1, draining=1), rev("C", 0))["C"] == 0
    assert targets(4, "C", rev("A", 4, ready=4), rev("C", 0)) == {"A": 4, "C": 1}


def test_of_two_old_revisions_the_one_that_serves_most_stays() -> None:
    assert targets(4, "C", rev("A", 1, ready=1), rev("B", 4, ready=4), rev("C", 0))["A"] == 0


def test_a_wanted_revision_that_serves_already_is_not_drained_for_the_old_ones_growth() -> None:
    assert targets(6, "C", rev("A", 3, ready=2), rev("B", 2, ready=2), rev("C", 1, ready=1)) == {
        "A": 4,
        "B": 2,
        "C": 1,
    }


def test_the_scale_of_a_rollout_is_covered_by_the_old_while_the_new_is_not_ready() -> None:
    assert targets(6, "B", rev("A", 2, ready=2), rev("B", 1)) == {"A": 6, "B": 1}


def test_growth_during_a_rollout_stays_within_the_surge() -> None:
    assert targets(3, "B", rev("A", 2, ready=2), rev("B", 1)) == {"A": 3, "B": 1}


def test_scaling_down_during_a_rollout_takes_what_is_not_ready_first() -> None:
    assert targets(2, "B", rev("A", 3, ready=3), rev("B", 2)) == {"A": 2, "B": 1}
    assert targets(2, "B", rev("A", 3, ready=3), rev("B", 2, ready=2)) == {"A": 0, "B": 2}


def test_scaled_to_zero_all_revisions_go() -> None:
    assert targets(0, "B", rev("A", 2, ready=2), rev("B", 1, ready=1)) == {"A": 0, "B": 0}


def test_paused_no_new_revision_starts() -> None:
    assert targets(2, "B", rev("A", 2, ready=2), paused=True) == {"A": 2}
    assert targets(2, "A", paused=True) == {}


def test_paused_a_running_rollout_holds_where_it_is() -> None:
    half = (rev("A", 3, ready=3), rev("B", 2, ready=2))
    assert targets(4, "B", *half, paused=True) == {"A": 3, "B": 2}


def test_paused_a_change_of_scale_still_applies_to_what_serves() -> None:
    assert targets(3, "B", rev("A", 2, ready=2), rev("B", 0), paused=True) == {"A": 3}
    assert targets(9, "B", rev("A", 3, ready=3), rev("B", 1), paused=True) == {"A": 8, "B": 1}
    assert targets(2, "B", rev("A", 3, ready=2), rev("B", 1), paused=True) == {"A": 2, "B": 0}
    assert targets(0, "B", rev("A", 3, ready=3), rev("B", 1), paused=True) == {"A": 0, "B": 0}


def test_paused_and_scaled_up_from_zero_what_was_there_comes_back() -> None:
    assert targets(2, "A", rev("A", 0), paused=True) == {"A": 2}
    assert targets(2, "C", rev("A", 0), rev("B", 0), paused=True) == {"B": 2}


def test_nothing_goes_while_the_wanted_revision_is_not_known() -> None:
    assert targets(2, None, rev("A", 2, ready=2)) == {"A": 2}
    assert targets(3, None, rev("A", 2, ready=2)) == {"A": 3}


def test_the_old_revision_has_all_requests_until_the_new_one_is_ready() -> None:
    assert weights(rev("A", 1, ready=1), rev("B", 1)) == {"A": 100}
    assert weights(rev("A", 1, serving=1), rev("B", 1)) == {"A": 100}
    assert weights(update="B") == {"B": 100}


def test_weights_are_shares_of_what_is_ready_and_add_up_to_a_hundred() -> None:
    assert weights(rev("A", 3, ready=2), rev("B", 1, ready=1)) == {"A": 67, "B": 33}
    thirds = weights(rev("A", 1, ready=1), rev("B", 1, ready=1), rev("C", 1, ready=1))
    assert sorted(thirds.values()) == [33, 33, 34]


def test_a_pod_that_has_not_settled_yet_takes_requests_but_nobodys_place() -> None:
    assert targets(2, "B", rev("A", 2, ready=2), rev("B", 1, ready=1, settling=1)) == {"A": 2, "B": 1}
    assert weights(rev("A", 1, ready=1), rev("B", 1, ready=1, settling=1)) == {"A": 50, "B": 50}


@pytest.mark.parametrize(
    ("desired", "share", "ready_of_b", "expected"),
    [
        (1, 10, 0, {"A": 1, "B": 1}),
        (1, 10, 1, {"A": 1, "B": 1}),
        (4, 10, 0, {"A": 4, "B": 1}),
        (4, 10, 1, {"A": 3, "B": 1}),
        (4, 50, 2, {"A": 2, "B": 2}),
        (10, 25, 3, {"A": 7, "B": 3}),
    ],
)
def test_a_canary_gets_its_share_of_the_replicas_and_no_more(
    desired: int, share: int, ready_of_b: int, expected: dict[str, int]
) -> None:
    old = expected["A"]
    b = rev("B", expected["B"], ready=ready_of_b)
    assert targets(desired, "B", rev("A", old, ready=old), b, share=share) == expected


def test_beside_a_third_canary_the_proved_revision_comes_back_as_the_second_goes() -> None:
    a, b, c = rev("A", 1, ready=1), rev("B", 3, ready=3), rev("C", 1, ready=1)
    canary = {"share": 25, "canary": "C", "stable": "A"}
    assert targets(4, "C", a, b, c, **canary) == {"A": 1, "B": 2, "C": 1}
    assert targets(4, "C", a, rev("B", 2, ready=2), c, **canary) == {"A": 2, "B": 2, "C": 1}


def test_growth_during_a_canary_goes_to_the_revision_that_is_proved() -> None:
    assert targets(4, "B", rev("A", 2, ready=2), rev("B", 1, ready=1), share=10) == {"A": 3, "B": 1}


def test_a_canary_of_one_replica_takes_a_second_pod_whatever_the_surge() -> None:
    assert targets(1, "B", rev("A", 1, ready=1), rev("B", 0), share=10, max_surge=0) == {"A": 1, "B": 1}


def test_a_canary_gets_its_share_of_the_requests_whatever_its_pods() -> None:
    revisions = rev("A", 3, ready=3), rev("B", 3, ready=3)
    view = RolloutView(desired=4, update="B", revisions=revisions, share=5, canary="B")
    assert dict(roll(view).weights) == {"A": 95, "B": 5}
    alone = RolloutView(
        desired=4, update="B", revisions=(rev("A", 3), rev("B", 1, ready=1)), share=5, canary="B"
    )
    assert dict(roll(alone).weights) == {"B": 100}


def test_a_revision_that_was_given_up_gets_nothing_that_another_can_take() -> None:
    failed = rev("B", 2, ready=2, failed=True)  # type: ignore[arg-type]
    assert targets(3, "A", rev("A", 2, ready=2), failed) == {"A": 2, "B": 0}
    assert weights(rev("A", 1, ready=1), failed, update="A") == {"A": 100}


def test_a_revision_that_was_given_up_serves_on_while_nobody_else_does() -> None:
    failed = rev("B", 1, ready=1, failed=True)  # type: ignore[arg-type]
    assert targets(1, "A", rev("A", 0), failed) == {"A": 1, "B": 1}
    assert weights(rev("A", 1), failed, update="A") == {"B": 100}


def test_replace_makes_room_before_it_grows_also_on_the_way_back() -> None:
    demo = service(replicas=1, rollout={"strategy": "Replace"})
    new = revision(demo).hash8
    record = RolloutRecord(revision=new, strategy="Replace")
    view = rollout_view(demo, new, record, (), (), NOW)
    assert (view.most_pods, view.least_available) == (1, 0)
    failure = RolloutFailure(revision=new, reason="r", message="m", at="t")
    view = rollout_view(demo, "old", replace(record, failure=failure), (), (), NOW)
    assert (view.most_pods, view.least_available) == (1, 0)


def test_a_view_counts_pods_by_what_they_can_do() -> None:
    demo = service(replicas=5, rollout={"maxSurge": 2, "maxUnavailable": 1, "paused": True})
    name = revision(demo).hash8
    draining = pod(name, name="d", ready=True, draining=BEFORE)
    pods = (
        pod(name, name="a", ready=True),
        pod(name, name="b"),
        draining,
        pod("other", name="c", ready=True),
    )
    view = rollout_view(demo, name, RolloutRecord(), (deployment(demo, replicas=4),), pods, NOW)
    expected = RevisionView(
        name=name,
        created=BEFORE,
        replicas=4,
        pods=3,
        draining=1,
        ready=1,
        serving=1,
        draining_serving=1,
    )
    assert view == RolloutView(
        desired=5, update=name, max_surge=2, max_unavailable=1, paused=True, revisions=(expected,)
    )
