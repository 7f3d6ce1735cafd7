"""Since when nobody came."""

from octavo_gateway.activity import Activity


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_service_is_idle_since_it_was_met_and_not_since_the_gateway_started() -> None:
    clock = Clock()
    activity = Activity(clock)
    assert activity.idle_seconds("demo") == 0.0
    clock.now = 500.0
    activity.meet(["demo"])
    clock.now = 530.0
    activity.meet(["demo", "other"])
    assert (activity.idle_seconds("demo"), activity.idle_seconds("other")) == (30.0, 0.0)


def test_a_service_is_not_idle_while_a_request_is_open_however_long() -> None:
    clock = Clock()
    activity = Activity(clock)
    activity.meet(["demo"])
    with activity.open("demo"):
        with activity.open("demo"):
            clock.now += 1000.0
        clock.now += 1000.0
        assert activity.idle_seconds("demo") == 0.0
    clock.now += 7.0
    assert activity.idle_seconds("demo") == 7.0


def test_a_service_that_went_with_a_request_open_is_forgotten_once_it_ended() -> None:
    clock = Clock()
    activity = Activity(clock)
    activity.meet(["demo"])
    with activity.open("demo"):
        activity.meet([])
        clock.now += 5.0
        assert activity.idle_seconds("demo") == 0.0
    activity.meet([])
    clock.now += 50.0
    activity.meet(["demo"])
    clock.now += 3.0
    assert activity.idle_seconds("demo") == 3.0
