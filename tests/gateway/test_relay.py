"""Before the first byte: real sockets, engines with faults."""

import asyncio
from typing import Any

import pytest
from gateway_parts import endpoint, free_port, in_front_of, running_gateway, streamed, text_of, with_policy
from mock_engine import TOKEN, Fault, FaultKind, MockEngine, whole_text
from waiting import until

STREAM: dict[str, Any] = {"stream": True, "seed": 7}
WHOLE = whole_text(7, 10)


async def test_an_answer_comes_through_as_the_engine_gave_it() -> None:
    engine = MockEngine()
    async with in_front_of(engine) as gateway, gateway.post({"seed": 7}) as response:
        body = await response.json()
        assert body["choices"][0]["text"] == WHOLE
        assert response.headers["x-ratelimit-limit-requests"] == "60"
        ours = {name.lower() for name in response.headers if name.lower().startswith("x-octavo")}
        assert ours == {"x-octavo-ignored-fields"}
    assert gateway.admission.settled == [(5, 10)]
    assert gateway.recorder.used == [("", 5, 10)]


async def test_a_stream_comes_through_without_the_gateways_comments() -> None:
    async with in_front_of(MockEngine()) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
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
    ("internal", "failed"),
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
            assert text_of(await streamed(gateway, STREAM)) == WHOLE
        else:
            async with gateway.post({"seed": 7}) as response:
                assert (await response.json())["choices"][0]["text"] == WHOLE
    assert gateway.recorder.retries == [reason]
    assert len(second.received) == 1


async def test_a_port_that_nobody_listens_on_is_another_replicas_turn() -> None:
    async with in_front_of(MockEngine()) as gateway:
        gateway.table.endpoints.insert(0, endpoint("dead", free_port()))
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert gateway.recorder.retries == ["connect"]


@pytest.mark.parametrize("kind", ["reset", "torn", "end", "failed"])
async def test_a_stream_that_breaks_before_its_first_event_is_tried_again(kind: FaultKind) -> None:
    first, second = MockEngine(faults=[Fault(kind=kind, after=0)]), MockEngine()
    async with in_front_of(first, second) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert gateway.recorder.continuations == []
    assert "octavo_resume" not in second.received[0].body


async def test_a_refused_request_is_the_clients_to_mend_and_no_other_replica_is_asked() -> None:
    first, second = MockEngine(faults=[Fault(kind="bad_request")]), MockEngine()
    async with in_front_of(first, second) as gateway, gateway.post(STREAM) as response:
        assert response.status == 400
        assert "the engine says" in (await response.json())["error"]["message"]
    assert second.received == []


@pytest.mark.parametrize(("num_replicas", "retries", "num_asked"), [(3, 3, 2), (1, 3, 1), (3, 0, 1)])
async def test_what_fails_on_two_replicas_or_has_but_one_is_the_clients_to_see(
    num_replicas: int, retries: int, num_asked: int
) -> None:
    engines = [MockEngine(faults=[Fault(kind="internal")] * 3) for _ in range(num_replicas)]
    service = with_policy(retries=retries)
    async with in_front_of(*engines, service=service) as gateway, gateway.post(STREAM) as response:
        assert response.status == 500
        assert "the engine says" in (await response.json())["error"]["message"]
    assert sum(len(engine.received) for engine in engines) == num_asked


async def test_an_error_that_was_kept_is_the_clients_to_see_when_no_other_replica_has_time() -> None:
    engines = [MockEngine(faults=[Fault(kind="internal")]), MockEngine(faults=[Fault(kind="overloaded")] * 3)]
    service = with_policy(retries=1)
    async with in_front_of(*engines, service=service) as gateway, gateway.post(STREAM) as response:
        assert response.status == 500
        assert "the engine says" in (await response.json())["error"]["message"]


async def test_errors_take_no_more_than_half_of_what_dying_replicas_may_need() -> None:
    engines = [MockEngine(faults=[Fault(kind="internal")] * 300) for _ in range(2)]
    async with in_front_of(*engines) as gateway:

        async def ask() -> int:
            async with gateway.post({}) as response:
                await response.read()
                return int(response.status)

        assert set(await asyncio.gather(*(ask() for _ in range(120)))) == {500}
        assert 50 <= gateway.recorder.retries.count("failed") < 100


@pytest.mark.parametrize(("kind", "settled"), [("bad_request", [(0, 0)]), ("internal", [])])
async def test_a_refused_request_counts_without_tokens_and_a_failed_one_not_at_all(
    kind: FaultKind, settled: list[tuple[int, int]]
) -> None:
    async with in_front_of(MockEngine(faults=[Fault(kind=kind)])) as gateway, gateway.post({}) as response:
        await response.read()
    assert gateway.admission.settled == settled


@pytest.mark.parametrize("retries", [2, 10])
async def test_retries_end_with_the_third_replica_that_breaks_off_and_say_why(retries: int) -> None:
    engines, service = (
        [MockEngine(faults=[Fault(kind="reset")] * 3) for _ in range(4)],
        with_policy(retries=retries),
    )
    async with in_front_of(*engines, service=service) as gateway, gateway.post(STREAM) as response:
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
        asking = asyncio.create_task(streamed(gateway, STREAM))
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
        asking = asyncio.create_task(streamed(gateway, STREAM))
        await until(lambda: gateway.admission.num_entered)
        gateway.table.endpoints = parked
        assert text_of(await asking) == WHOLE


async def test_connections_to_engines_are_kept_between_streams() -> None:
    engine = MockEngine()
    async with in_front_of(engine) as gateway:
        for _ in range(5):
            await streamed(gateway, STREAM)
    assert len(engine.peers) == 1
