"""The report as the operator reads it."""

from octavo_gateway.activity import Activity
from octavo_gateway.metrics import Metrics
from octavo_gateway.traffic import traffic


def test_every_service_is_told_of_with_its_revisions() -> None:
    now = 0.0
    activity, metrics = Activity(lambda: now), Metrics()
    activity.meet(["demo", "quiet"])
    now = 30.0
    metrics.finished("demo", "r1", 200)
    metrics.finished("demo", "r2", 500)
    metrics.finished("demo", "", 429)
    metrics.finished("gone", "r1", 200)
    metrics.retried("demo", "r2", "reset")
    metrics.first_token("demo", "r1", 0.25)
    waiting = [("demo", "parked", 3), ("demo", "queued", 1), ("quiet", "parked", 0)]
    nothing = [(None, 0)]
    assert traffic(["demo", "quiet"], waiting, activity, metrics.tallies) == {  # type: ignore[arg-type]
        "demo": {
            "waiting": 4,
            "idle_seconds": 30.0,
            "revisions": {
                "r1": {
                    "requests": 1,
                    "errors": 0,
                    "ttft": [(0.2281, 0), (0.25, 1), (None, 1)],
                    "tpot": nothing,
                },
                "r2": {"requests": 2, "errors": 2, "ttft": nothing, "tpot": nothing},
            },
        },
        "quiet": {"waiting": 0, "idle_seconds": 30.0, "revisions": {}},
    }
