"""What is read from a pod's manifest about draining and readiness."""

from typing import Any

import pytest
from operator_builders import NOW, pod, raw_pod

from octavo_operator.engine_pod import EnginePod

STARTED = {"state": {"running": {"startedAt": "2026-11-01T11:31:00Z"}}}


def unready(changed: str, **container: Any) -> EnginePod:
    raw = raw_pod("r", **container)
    raw["status"]["conditions"][0]["lastTransitionTime"] = changed
    return EnginePod.from_manifest(raw)


def test_a_pod_that_was_ready_since_it_started_has_lapsed() -> None:
    assert unready("2026-11-01T11:40:00Z", **STARTED).lapsed
    assert not unready("2026-11-01T11:30:30Z", **STARTED).lapsed
    assert not unready("2026-11-01T11:40:00Z", state={"waiting": {}}).lapsed


def test_marks_are_read_back() -> None:
    draining, released = pod("r", draining=NOW), pod("r", draining=NOW, released=True)
    assert (draining.draining_since, draining.released) == (NOW, False)
    assert (released.draining_since, released.released) == (NOW, True)


@pytest.mark.parametrize("text", ["", "yes", "2026-11-01T12:00:00"])
def test_a_mark_that_is_no_time_counts_from_the_pods_creation(text: str) -> None:
    raw = raw_pod("r")
    raw["metadata"]["annotations"] = {"serving.octavo.dev/draining": text}
    made = EnginePod.from_manifest(raw)
    assert made.draining_since == made.created
