"""After the first byte: a stream whose replica dies, over real sockets."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from gateway_parts import SERVICE, endpoint, in_front_of, streamed, text_of, with_policy
from mock_engine import Fault, FaultKind, MockEngine, token_id, whole_text
from waiting import until

STREAM: dict[str, Any] = {"stream": True, "seed": 7}
WHOLE = whole_text(7, 10)
BREAKS: list[FaultKind] = ["reset", "torn", "end", "failed"]


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("after", [1, 5, 9, 10])
async def test_a_stream_whose_replica_dies_goes_on_elsewhere_without_a_seam(
    kind: FaultKind, after: int
) -> None:
    engines = [MockEngine(faults=[Fault(kind=kind, after=after)]), MockEngine()]
    async with in_front_of(*engines) as gateway:
        events = await streamed(gateway, {"stream": True})
    [resume] = [request.body["octavo_resume"] for request in engines[1].received]
    [choice] = resume["choices"]
    assert choice["token_ids"] == [token_id(choice["seed"], position) for position in range(after)]
    assert choice["num_chars"] == len(whole_text(choice["seed"], after))
    assert choice["finished"] == (after == 10)
    assert text_of(events) == whole_text(choice["seed"], 10)
    assert engines[0].received[0].headers["x-request-id"] == engines[1].received[0].headers["x-request-id"]
    assert gateway.recorder.continuations == ["continued"]
    assert gateway.recorder.statuses == [200]


async def test_all_choices_of_a_request_go_on() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset", after=7)]), MockEngine()]
    async with in_front_of(*engines) as gateway:
        events = await streamed(gateway, {**STREAM, "n": 2})
    assert [text_of(events, index) for index in (0, 1)] == [WHOLE, whole_text(8, 10)]


async def test_a_stream_survives_three_replicas_that_leave_and_not_a_fourth() -> None:
    engines = [MockEngine(faults=[Fault(kind="failed", after=2)]) for _ in range(3)]
    async with in_front_of(*engines, MockEngine()) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert gateway.recorder.continuations == ["continued"] * 3

    engines = [MockEngine(faults=[Fault(kind="failed", after=1)] * 4) for _ in range(4)]
    async with in_front_of(*engines) as gateway:
        events = await streamed(gateway, STREAM)
    assert json.loads(events[-1])["error"]["code"] == "stream_interrupted"
    assert gateway.recorder.continuations == ["continued"] * 3 + ["exhausted"]


@pytest.mark.parametrize("num_before", [0, 1, 2])
async def test_a_request_that_breaks_replicas_gets_three_before_and_after_its_first_byte(
    num_before: int,
) -> None:
    faults = [Fault(kind="reset")] * num_before + [Fault(kind="reset", after=1)] * 3
    engines = [MockEngine(faults=faults) for _ in range(3)]
    async with in_front_of(*engines, service=with_policy(retries=10)) as gateway:
        events = await streamed(gateway, STREAM)
    assert sum(len(engine.received) for engine in engines) == 3
    assert "3 replicas broke off" in json.loads(events[-1])["error"]["message"]
    assert gateway.recorder.continuations[-1] == "exhausted"


async def test_a_continuation_tries_further_replicas() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset", after=4)]), MockEngine(faults=[Fault(kind="draining")])]
    async with in_front_of(*engines, MockEngine()) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE


async def test_a_continuation_waits_for_a_replica_of_its_own_revision() -> None:
    first, other, late = MockEngine(faults=[Fault(kind="reset", after=4)]), MockEngine(), MockEngine()
    async with late.running(), in_front_of(first, other, revisions=("rev1", "rev2")) as gateway:
        asking = asyncio.create_task(streamed(gateway, STREAM))
        await until(lambda: gateway.admission.load.in_flight("uid-pod-0"))
        gateway.table.endpoints = gateway.table.endpoints[1:]
        await asyncio.sleep(0.1)
        gateway.table.endpoints.append(endpoint("late", late.port))
        assert text_of(await asking) == WHOLE
    assert other.received == []


@pytest.mark.parametrize(
    ("second", "outcome"),
    [
        (MockEngine(refuses_resume=True), "refused"),
        (MockEngine(exactness="another build"), "refused"),
        (MockEngine(faults=[Fault(kind="bad_request")]), "refused"),
    ],
)
async def test_a_stream_that_cannot_go_on_exactly_ends_with_an_error_and_no_done(
    second: MockEngine, outcome: str
) -> None:
    async with in_front_of(MockEngine(faults=[Fault(kind="reset", after=4)]), second) as gateway:
        events = await streamed(gateway, STREAM)
    assert json.loads(events[-1])["error"]["code"] == "stream_interrupted"
    assert text_of([*events[:-1], "[DONE]"]) == whole_text(7, 4)
    assert gateway.recorder.continuations == [outcome]
    assert gateway.recorder.statuses == [599]
    assert gateway.admission.settled == [(5, 4)]


@pytest.mark.parametrize("first", [MockEngine(exactness=""), MockEngine(has_comments=False)])
async def test_a_stream_of_irreproducible_tokens_is_never_continued(first: MockEngine) -> None:
    first.faults = [Fault(kind="reset", after=4)]
    second = MockEngine()
    async with in_front_of(first, second) as gateway:
        events = await streamed(gateway, STREAM)
    assert "not reproducible" in json.loads(events[-1])["error"]["message"]
    assert second.received == []


async def test_a_stream_without_another_replica_ends_with_an_error_after_the_queue_timeout() -> None:
    engine = MockEngine(faults=[Fault(kind="reset", after=4)])
    async with in_front_of(engine, service=with_policy(queue_timeout_seconds=0.3)) as gateway:
        asking = asyncio.create_task(streamed(gateway, STREAM))
        await until(lambda: gateway.admission.load.in_flight("uid-pod-0"))
        gateway.table.endpoints = []
        events = await asking
    assert json.loads(events[-1])["error"]["code"] == "stream_interrupted"
    assert gateway.recorder.continuations == ["no_replica"]


@pytest.mark.parametrize(("exactness", "outcome"), [("abc123", "continued"), ("another", "refused")])
async def test_a_stream_of_a_retired_revision_asks_another_whether_it_can_go_on(
    exactness: str, outcome: str
) -> None:
    last = MockEngine(faults=[Fault(kind="reset", after=4)], pace_seconds=0.02)
    new, service = MockEngine(exactness=exactness), replace(SERVICE, weights={"rev2": 100})
    async with new.running(), in_front_of(last, service=service) as gateway:
        asking = asyncio.create_task(streamed(gateway, STREAM))
        await until(lambda: gateway.admission.load.in_flight("uid-pod-0"))
        gateway.table.endpoints = [endpoint("new", new.port, revision="rev2")]
        events = await asking
    assert (events[-1] == "[DONE]") == (outcome == "continued")
    assert gateway.recorder.continuations == [outcome]


async def test_without_continuation_a_dead_replica_cuts_its_streams() -> None:
    """The control of all tests above: what they see is the continuation's doing."""
    engines = [MockEngine(faults=[Fault(kind="reset", after=4)]), MockEngine()]
    async with in_front_of(*engines, max_continuations=0) as gateway:
        events = await streamed(gateway, STREAM)
    assert events[-1] != "[DONE]"
    assert engines[1].received == []


@pytest.mark.parametrize("kind", ["no_done", "reset_before_done"])
async def test_a_stream_that_lacks_only_its_last_event_gets_it(kind: FaultKind) -> None:
    engines = [MockEngine(faults=[Fault(kind=kind, after=0)]), MockEngine()]
    async with in_front_of(*engines) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert engines[1].received == []


async def test_two_hundred_streams_lose_nothing_when_their_replicas_die() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset", after=3)] * 100, pace_seconds=0.005) for _ in range(2)]
    async with in_front_of(*engines, MockEngine(), MockEngine()) as gateway:
        bodies = [{"stream": True, "seed": seed} for seed in range(200)]
        answers = await asyncio.gather(*(streamed(gateway, body) for body in bodies))
    assert [text_of(events) for events in answers] == [whole_text(seed, 10) for seed in range(200)]
    assert gateway.recorder.continuations
    assert set(gateway.recorder.statuses) == {200}
