"""Retries and continuations, over real sockets, against engines with faults."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_parts import RunningGateway, endpoint, running_gateway, with_policy
from mock_engine import TOKEN, Fault, FaultKind, MockEngine, token_id, whole_text
from waiting import until

STREAM: dict[str, Any] = {"stream": True, "seed": 7}
WHOLE = whole_text(7, 10)


@contextlib.asynccontextmanager
async def in_front_of(*engines: MockEngine, **options: Any) -> AsyncIterator[RunningGateway]:
    async with contextlib.AsyncExitStack() as stack:
        for engine in engines:
            await stack.enter_async_context(engine.running())
        yield await stack.enter_async_context(running_gateway(*engines, **options))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def streamed(gateway: RunningGateway, body: dict[str, Any] = STREAM, **options: Any) -> list[str]:
    """The data of each event."""
    async with gateway.post(body, **options) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        text = await response.text()
    assert text.endswith("\n\n")
    events = text[:-2].split("\n\n")
    assert all(event.startswith("data: ") for event in events), "a comment of ours reached the client"
    return [event.removeprefix("data: ") for event in events]


def text_of(events: list[str], index: int = 0) -> str:
    """Of a whole stream: it ends with the last event."""
    assert events[-1] == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events[:-1]]
    return "".join(choice["text"] for choice in choices if choice["index"] == index)


async def test_an_answer_comes_through_as_the_engine_gave_it() -> None:
    engine = MockEngine()
    async with in_front_of(engine) as gateway, gateway.post({"seed": 7}) as response:
        body = await response.json()
        assert body["choices"][0]["text"] == WHOLE
        assert response.headers["x-ratelimit-limit-requests"] == "60"
        assert not any(name.lower().startswith("x-octavo") for name in response.headers)
    assert gateway.admission.settled == [(5, 10)]
    assert gateway.recorder.used == [("", 5, 10)]


async def test_a_stream_comes_through_without_the_gateways_comments() -> None:
    async with in_front_of(MockEngine()) as gateway:
        assert text_of(await streamed(gateway)) == WHOLE
    assert gateway.admission.settled == [(5, 10)]
    assert len(gateway.recorder.first_tokens) == len(gateway.recorder.token_seconds) == 1
    assert gateway.recorder.statuses == [200]


async def test_the_engine_gets_the_body_byte_for_byte_and_only_headers_of_the_gateways_choice() -> None:
    engine = MockEngine()
    raw = b'{ "model":"tiny","prompt":"\\u00e9", "stream":true,"seed":7 }'
    headers = {
        "authorization": "Bearer sk-client",
        "x-octavo-tenant": "somebody-else",
        "x-octavo-resumable": "0",
        "connection": "keep-alive, x-secret",
        "x-secret": "hop",
        "cookie": "a=b",
        "content-type": "application/json",
        "traceparent": "00-1-2-01",
        "x-request-id": "mine",
    }
    service = with_policy(has_auth=True)
    gateway_with_keys = in_front_of(engine, service=service, keys={"alice": "sk-client"})
    async with gateway_with_keys as gateway, gateway.post(raw, headers=headers) as response:
        assert response.headers["x-request-id"] == "mine"
        await response.read()
    [received] = engine.received
    assert received.raw == raw
    assert {name: value for name, value in received.headers.items() if name != "user-agent"} == {
        "host": f"127.0.0.1:{engine.port}",
        "authorization": f"Bearer {TOKEN}",
        "x-octavo-tenant": "alice",
        "x-octavo-resumable": "1",
        "content-type": "application/json",
        "traceparent": "00-1-2-01",
        "x-request-id": "mine",
        "accept": "*/*",
        "content-length": str(len(raw)),
    }


RETRIED: list[tuple[FaultKind, str]] = [
    ("reset", "reset"),
    ("draining", "draining"),
    ("model_loading", "model_loading"),
    ("overloaded", "overloaded"),
    ("token", "token"),
    ("not_served", "not_served"),
]


@pytest.mark.parametrize(("kind", "reason"), RETRIED)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_one_replica_cannot_answer_another_does(
    kind: FaultKind, reason: str, is_stream: bool
) -> None:
    first, second = MockEngine(faults=[Fault(kind=kind)]), MockEngine()
    async with in_front_of(first, second) as gateway:
        if is_stream:
            assert text_of(await streamed(gateway)) == WHOLE
        else:
            async with gateway.post({"seed": 7}) as response:
                assert (await response.json())["choices"][0]["text"] == WHOLE
    assert gateway.recorder.retries == [reason]
    assert len(second.received) == 1


async def test_a_port_that_nobody_listens_on_is_another_replicas_turn() -> None:
    async with in_front_of(MockEngine()) as gateway:
        gateway.table.endpoints.insert(0, endpoint("dead", free_port()))
        assert text_of(await streamed(gateway)) == WHOLE
    assert gateway.recorder.retries == ["connect"]


@pytest.mark.parametrize("kind", ["reset", "torn", "end", "failed"])
async def test_a_stream_that_breaks_before_its_first_event_is_tried_again(kind: FaultKind) -> None:
    first, second = MockEngine(faults=[Fault(kind=kind, after=0)]), MockEngine()
    async with in_front_of(first, second) as gateway:
        assert text_of(await streamed(gateway)) == WHOLE
    assert gateway.recorder.continuations == []
    assert "octavo_resume" not in second.received[0].body


@pytest.mark.parametrize(("kind", "status"), [("bad_request", 400), ("internal", 500)])
async def test_an_engines_own_errors_are_the_clients_to_see(kind: FaultKind, status: int) -> None:
    first, second = MockEngine(faults=[Fault(kind=kind)]), MockEngine()
    async with in_front_of(first, second) as gateway, gateway.post(STREAM) as response:
        assert response.status == status
        assert "the engine says" in (await response.json())["error"]["message"]
    assert second.received == []


async def test_retries_end_and_say_why() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset")] * 3) for _ in range(4)]
    async with in_front_of(*engines) as gateway, gateway.post(STREAM) as response:
        assert response.status == 502
        assert (await response.json())["error"]["code"] == "replica_failed"
    assert sum(len(engine.received) for engine in engines) == 3


async def test_full_replicas_give_503_and_a_time_to_come_back() -> None:
    engines = [MockEngine(faults=[Fault(kind="overloaded")] * 3) for _ in range(3)]
    async with in_front_of(*engines) as gateway, gateway.post(STREAM) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "1")
        assert (await response.json())["error"]["code"] == "server_overloaded"


async def test_a_lone_replica_that_restarts_is_waited_for() -> None:
    port = free_port()
    async with running_gateway(MockEngine(port=port)) as gateway:
        asking = asyncio.create_task(streamed(gateway))
        await until(lambda: gateway.recorder.retries)
        async with MockEngine(port=port, faults=[Fault(kind="model_loading")] * 2).running():
            assert text_of(await asking) == WHOLE
    assert set(gateway.recorder.retries) == {"connect", "model_loading"}


async def test_a_replica_that_stays_away_is_a_503_after_the_queue_timeout() -> None:
    away, service = MockEngine(port=free_port()), with_policy(queue_timeout_seconds=0.3)
    async with running_gateway(away, service=service) as gateway, gateway.post(STREAM) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        assert "did not take the connection" in (await response.json())["error"]["message"]


async def test_requests_wait_while_nothing_is_routable() -> None:
    async with in_front_of(MockEngine()) as gateway:
        parked, gateway.table.endpoints = gateway.table.endpoints, []
        asking = asyncio.create_task(streamed(gateway))
        await until(lambda: gateway.admission.num_entered)
        gateway.table.endpoints = parked
        assert text_of(await asking) == WHOLE


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


async def test_a_stream_survives_three_broken_replicas_and_not_a_fourth() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset", after=2)]) for _ in range(3)]
    async with in_front_of(*engines, MockEngine()) as gateway:
        assert text_of(await streamed(gateway)) == WHOLE
    assert gateway.recorder.continuations == ["continued"] * 3

    engines = [MockEngine(faults=[Fault(kind="reset", after=1)] * 4) for _ in range(4)]
    async with in_front_of(*engines) as gateway:
        events = await streamed(gateway)
    assert json.loads(events[-1])["error"]["code"] == "stream_interrupted"
    assert gateway.recorder.continuations == ["continued"] * 3 + ["exhausted"]


async def test_a_continuation_tries_further_replicas() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset", after=4)]), MockEngine(faults=[Fault(kind="draining")])]
    async with in_front_of(*engines, MockEngine()) as gateway:
        assert text_of(await streamed(gateway)) == WHOLE


async def test_a_continuation_waits_for_a_replica_of_its_own_revision() -> None:
    first, other, late = MockEngine(faults=[Fault(kind="reset", after=4)]), MockEngine(), MockEngine()
    async with late.running(), in_front_of(first, other, revisions=("rev1", "rev2")) as gateway:
        asking = asyncio.create_task(streamed(gateway))
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
        events = await streamed(gateway)
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
        events = await streamed(gateway)
    assert "not reproducible" in json.loads(events[-1])["error"]["message"]
    assert second.received == []


async def test_a_stream_without_another_replica_ends_with_an_error_after_the_queue_timeout() -> None:
    engine = MockEngine(faults=[Fault(kind="reset", after=4)])
    async with in_front_of(engine, service=with_policy(queue_timeout_seconds=0.3)) as gateway:
        asking = asyncio.create_task(streamed(gateway))
        await until(lambda: gateway.admission.load.in_flight("uid-pod-0"))
        gateway.table.endpoints = []
        events = await asking
    assert json.loads(events[-1])["error"]["code"] == "stream_interrupted"
    assert gateway.recorder.continuations == ["no_replica"]


async def test_without_continuation_a_dead_replica_cuts_its_streams() -> None:
    """The control of all tests above: what they see is the continuation's doing."""
    engines = [MockEngine(faults=[Fault(kind="reset", after=4)]), MockEngine()]
    async with in_front_of(*engines, max_continuations=0) as gateway:
        events = await streamed(gateway)
    assert events[-1] != "[DONE]"
    assert engines[1].received == []


async def test_a_stream_that_lacks_only_its_last_event_gets_it() -> None:
    engines = [MockEngine(faults=[Fault(kind="no_done", after=0)]), MockEngine()]
    async with in_front_of(*engines) as gateway:
        assert text_of(await streamed(gateway)) == WHOLE
    assert engines[1].received == []


async def test_connections_to_engines_are_kept_between_streams() -> None:
    engine = MockEngine()
    async with in_front_of(engine) as gateway:
        for _ in range(5):
            await streamed(gateway)
    assert len(engine.peers) == 1


async def test_two_hundred_streams_lose_nothing_when_their_replicas_die() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset", after=3)] * 100, pace_seconds=0.005) for _ in range(2)]
    async with in_front_of(*engines, MockEngine(), MockEngine()) as gateway:
        bodies = [{"stream": True, "seed": seed} for seed in range(200)]
        answers = await asyncio.gather(*(streamed(gateway, body) for body in bodies))
    assert [text_of(events) for events in answers] == [whole_text(seed, 10) for seed in range(200)]
    assert gateway.recorder.continuations
    assert set(gateway.recorder.statuses) == {200}
