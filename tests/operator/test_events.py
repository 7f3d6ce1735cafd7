import re

from operator_builders import NOW, pod

from octavo_operator.drain import Draining
from octavo_operator.engine_pod import EnginePod
from octavo_operator.events import Event, drain_event, event_manifest
from octavo_operator.observed import ObjectKey


def step(of: EnginePod, *, released: bool = False, timed_out: bool = False) -> Event | None:
    item = Draining(pod=of, in_flight=3, since=NOW, released=released, timed_out=timed_out)
    return drain_event(item, 300)


def test_a_drain_is_told_as_it_starts_and_when_it_cuts_requests() -> None:
    started, timed_out = (
        step(pod("r", ready=True)),
        step(pod("r", ready=True, draining=NOW), released=True, timed_out=True),
    )
    assert started is not None and (started.reason, started.type) == ("DrainStarted", "Normal")
    assert timed_out is not None and (timed_out.reason, timed_out.type) == ("DrainTimedOut", "Warning")
    assert "3 requests in flight after spec.drain.timeoutSeconds (300)" in timed_out.note


def test_steps_that_nobody_waits_for_are_not_told() -> None:
    assert step(pod("r"), released=True) is None
    assert step(pod("r", ready=True, draining=NOW), released=True) is None


def test_an_event_speaks_of_the_service() -> None:
    manifest = event_manifest(Event("DrainStarted", "x" * 2000), ObjectKey("team", "demo"), "u", NOW)
    assert manifest["regarding"] == {
        "apiVersion": "serving.octavo.dev/v1alpha1",
        "kind": "InferenceService",
        "namespace": "team",
        "name": "demo",
        "uid": "u",
    }
    assert (manifest["eventTime"], len(manifest["note"])) == ("2026-11-01T12:00:00.000000Z", 1024)


def test_its_name_begins_as_the_api_server_lets_names_begin() -> None:
    manifest = event_manifest(Event("DrainStarted", ""), ObjectKey("team", "demo"), "u", NOW)
    # What the API server checks is the beginning without its last dash.
    assert re.fullmatch(r"[a-z0-9][-a-z0-9.]*[a-z0-9]-", manifest["metadata"]["generateName"])
