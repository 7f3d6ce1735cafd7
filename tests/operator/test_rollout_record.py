"""What a rollout remembers: how it begins, what ends it, and what a change of the spec does to it."""

from dataclasses import replace

import pytest
from operator_builders import NOW, service

from octavo_api.rollout_status import RolloutFailure, RolloutRecord
from octavo_operator.rollout_record import RolloutEnd, current, rollout_end

FAILED = RolloutFailure(revision="b", reason="GateFailed", message="m", at="t")
DONE = RolloutRecord(revision="a", stable="a")
ROLLING = RolloutRecord(revision="b", stable="a")


def test_another_revision_begins_anew_and_keeps_the_way_back() -> None:
    before = replace(ROLLING, passed_percent=10, step_started_at="t", strategy="Replace", failure=FAILED)
    assert current(service(), before, "c", NOW) == RolloutRecord(
        revision="c", stable="a", abandoned="b", started_at="2026-11-01T12:00:00Z"
    )


def test_the_same_revision_goes_on_where_it_stood() -> None:
    before = replace(ROLLING, strategy="Replace", failure=FAILED)
    assert current(service(), before, "b", NOW) == before


@pytest.mark.parametrize(
    ("asked", "before", "expected"),
    [
        ("Auto", "Surge", "Surge"),
        ("Auto", "Replace", "Replace"),
        ("Auto", "Canary", "Surge"),
        ("Surge", "Replace", "Surge"),
        ("Replace", "Surge", "Replace"),
        ("Canary", "Surge", "Canary"),
    ],
)
def test_a_change_of_the_strategy_holds_at_once(asked: str, before: str, expected: str) -> None:
    record = replace(ROLLING, strategy=before)  # type: ignore[arg-type]
    assert current(service(rollout={"strategy": asked}), record, "b", NOW).strategy == expected


def test_without_automatic_rollback_a_failure_is_forgotten() -> None:
    before = replace(ROLLING, failure=FAILED)
    assert current(service(rollout={"autoRollback": False}), before, "b", NOW).failure is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, None, None),
        (None, RolloutRecord(revision="a"), None),
        (RolloutRecord(revision="a"), DONE, RolloutEnd("complete")),
        (DONE, DONE, None),
        (DONE, ROLLING, None),
        (ROLLING, RolloutRecord(revision="b", stable="b"), RolloutEnd("complete")),
        (ROLLING, replace(ROLLING, failure=FAILED), RolloutEnd("rolled_back", "GateFailed")),
        (replace(ROLLING, failure=FAILED), replace(ROLLING, failure=FAILED), None),
        (ROLLING, RolloutRecord(revision="c", stable="a"), RolloutEnd("superseded")),
        (replace(ROLLING, failure=FAILED), RolloutRecord(revision="c", stable="a"), None),
    ],
)
def test_the_end_of_a_rollout_is_seen_once(
    before: RolloutRecord | None, after: RolloutRecord | None, expected: RolloutEnd | None
) -> None:
    assert rollout_end(before, after) == expected
