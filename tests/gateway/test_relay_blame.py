"""Which revision answers for what went wrong, also where the client saw nothing of it: over real sockets."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gateway_parts import (
    SERVICE,
    RunningGateway,
    endpoint,
    free_port,
    in_front_of,
    streamed,
    text_of,
    with_policy,
)
from mock_engine import Fault, FaultKind, MockEngine, whole_text
from waiting import until

from octavo_gateway import relay

STREAM: dict[str, Any] = {"stream": True, "seed": 7}
WHOLE = whole_text(7, 10)
REVISIONS = ("new", "old")


async def test_an_answer_speaks_for_the_revision_that_gave_it() -> None:
    async with in_front_of(MockEngine(), revisions=("new",)) as gateway:
        await streamed(gateway, STREAM)
        async with gateway.post({"seed": 7}) as response:
            await response.read()
    assert gateway.recorder.blame() == {"new": (2, 0)}


@pytest.mark.parametrize("kind", ["reset", "internal"])
@pytest.mark.parametrize("body", [STREAM, {"seed": 7}])
async def test_a_try_that_failed_counts_against_its_revision_and_the_answer_for_the_other(
    body: dict[str, Any], kind: FaultKind
) -> None:
    engines = [MockEngine(faults=[Fault(kind=kind)]), MockEngine()]
    async with in_front_of(*engines, revisions=REVISIONS) as gateway, gateway.post(body) as response:
        assert response.status == 200
        await response.read()
    assert gateway.recorder.blame() == {"new": (1, 1), "old": (1, 0)}


async def test_what_fails_on_two_revisions_is_an_error_of_each() -> None:
    engines = [MockEngine(faults=[Fault(kind="internal")]) for _ in REVISIONS]
    async with in_front_of(*engines, revisions=REVISIONS) as gateway, gateway.post(STREAM) as response:
        assert response.status == 500
    assert gateway.recorder.blame() == {"new": (1, 1), "old": (1, 1)}


async def test_what_a_bad_release_fails_is_asked_of_the_other_revision() -> None:
    engines = [MockEngine(faults=[Fault(kind="internal")]) for _ in range(3)] + [MockEngine()]
    service = replace(SERVICE, weights={"new": 50, "old": 50})
    async with in_front_of(*engines, service=service, revisions=("new", "new", "new", "old")) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert gateway.recorder.blame() == {"new": (1, 1), "old": (1, 0)}


@pytest.mark.parametrize(
    ("weights", "asked"), [({"old": 90, "new": 10}, [1, 1, 0]), ({"old": 100}, [1, 1, 0])]
)
async def test_what_the_main_revision_fails_is_not_all_laid_on_a_canary_nor_on_what_was_given_up(
    weights: dict[str, int], asked: list[int]
) -> None:
    engines = [MockEngine(faults=[Fault(kind="internal")]), MockEngine(), MockEngine()]
    service = replace(SERVICE, weights=weights)
    async with in_front_of(*engines, service=service, revisions=("old", "old", "new")) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert [len(engine.received) for engine in engines] == asked


async def test_a_revision_without_another_keeps_its_errors_to_itself_when_the_other_was_given_up() -> None:
    engines = [MockEngine(faults=[Fault(kind="internal")]), MockEngine()]
    service = replace(SERVICE, weights={"old": 100, "new": 0})
    gateway_of = in_front_of(*engines, service=service, revisions=("old", "new"))
    async with gateway_of as gateway, gateway.post(STREAM) as response:
        assert response.status == 500
    assert [len(engine.received) for engine in engines] == [1, 0]


async def test_a_refused_connection_counts_against_its_revision() -> None:
    async with in_front_of(MockEngine(), revisions=("old",)) as gateway:
        gateway.table.endpoints.insert(0, endpoint("dead", free_port(), revision="new"))
        await streamed(gateway, STREAM)
    assert gateway.recorder.blame() == {"new": (1, 1), "old": (1, 0)}


@pytest.mark.parametrize("kind", ["draining", "model_loading", "overloaded", "token", "not_served"])
async def test_a_request_that_is_turned_away_counts_against_nobody(kind: FaultKind) -> None:
    engines = [MockEngine(faults=[Fault(kind=kind)]), MockEngine()]
    async with in_front_of(*engines, revisions=REVISIONS) as gateway:
        await streamed(gateway, STREAM)
    assert gateway.recorder.blame() == {"old": (1, 0)}


async def test_full_replicas_are_no_errors_of_their_revision_though_the_client_gets_503() -> None:
    engine = MockEngine(faults=[Fault(kind="overloaded")] * 3)
    async with in_front_of(engine, revisions=("new",)) as gateway, gateway.post(STREAM) as response:
        assert response.status == 503
    assert gateway.recorder.blame() == {"": (1, 1)}


async def test_a_request_that_was_broken_and_then_waited_in_vain_counts_its_break_once() -> None:
    engine = MockEngine(faults=[Fault(kind="reset")])
    service = with_policy(queue_timeout_seconds=0.3)
    async with in_front_of(engine, revisions=("new",), service=service) as gateway:
        asking = asyncio.create_task(gateway.post(STREAM).__aenter__())
        await until(lambda: engine.received)
        gateway.table.endpoints.clear()
        response = await asking
        assert response.status == 503
    assert gateway.recorder.blame() == {"new": (1, 1), "": (1, 1)}


@pytest.mark.parametrize("retries", [0, 1, 10])
async def test_a_request_that_breaks_to_the_end_counts_each_try_once(retries: int) -> None:
    engines = [MockEngine(faults=[Fault(kind="reset")] * 3) for _ in range(3)]
    options = {"service": with_policy(retries=retries), "revisions": ("new",) * 3}
    async with in_front_of(*engines, **options) as gateway, gateway.post(STREAM) as response:
        assert response.status == 502
    num_tries = sum(len(engine.received) for engine in engines)
    assert gateway.recorder.blame() == {"new": (num_tries, num_tries)}


@pytest.mark.parametrize(("kind", "errors"), [("internal", 1), ("bad_request", 0)])
async def test_of_an_engines_own_errors_those_of_the_server_count(kind: FaultKind, errors: int) -> None:
    engine = MockEngine(faults=[Fault(kind=kind)])
    async with in_front_of(engine, revisions=("new",)) as gateway, gateway.post(STREAM) as response:
        await response.read()
    assert gateway.recorder.blame() == {"new": (1, errors)}


@pytest.mark.parametrize(("kind", "errors"), [("reset", 1), ("failed", 0)])
async def test_a_stream_that_went_on_elsewhere_broke_once_unless_its_replica_had_to_leave(
    kind: FaultKind, errors: int
) -> None:
    engines = [MockEngine(faults=[Fault(kind=kind, after=4)]), MockEngine()]
    async with in_front_of(*engines, revisions=("new", "new")) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert gateway.recorder.blame() == {"new": (1 + errors, errors)}


async def test_that_one_replica_had_to_leave_excuses_no_other_that_breaks_after_it() -> None:
    leaving = MockEngine(faults=[Fault(kind="failed", after=4)])
    broken = MockEngine(faults=[Fault(kind="reset", after=0)], has_comments=False)
    async with in_front_of(leaving, broken, MockEngine(), revisions=("new",) * 3) as gateway:
        assert text_of(await streamed(gateway, STREAM)) == WHOLE
    assert gateway.recorder.blame() == {"new": (2, 1)}


@pytest.mark.parametrize(("kind", "blamed"), [("reset", "new"), ("failed", "")])
async def test_a_stream_that_could_not_go_on_is_one_error_of_the_revision_on_which_it_broke(
    kind: FaultKind, blamed: str
) -> None:
    engines = [MockEngine(faults=[Fault(kind=kind, after=4)]), MockEngine(refuses_resume=True)]
    async with in_front_of(*engines, revisions=("new", "new")) as gateway:
        await streamed(gateway, STREAM)
    assert gateway.recorder.statuses == [599]
    assert gateway.recorder.blame() == {blamed: (1, 1)}


async def test_a_stream_that_breaks_again_on_another_revision_is_an_error_of_each() -> None:
    last = MockEngine(faults=[Fault(kind="reset", after=4)], pace_seconds=0.02)
    other = MockEngine(faults=[Fault(kind="reset", after=2)])
    service = replace(
        SERVICE, weights={"new": 100}, policy=replace(SERVICE.policy, queue_timeout_seconds=0.3)
    )
    async with other.running(), in_front_of(last, service=service, revisions=("old",)) as gateway:
        asking = asyncio.create_task(streamed(gateway, STREAM))
        await until(lambda: gateway.admission.load.in_flight("uid-pod-0"))
        gateway.table.endpoints = [endpoint("other", other.port, revision="new")]
        await until(lambda: gateway.recorder.continuations)
        gateway.table.endpoints = []
        await asking
    assert gateway.recorder.continuations == ["continued", "no_replica"]
    assert gateway.recorder.blame() == {"old": (1, 1), "new": (1, 1)}
    first_tokens = [revision for _, revision, it in gateway.recorder.metrics.tallies if it.first_token.total]
    assert first_tokens == ["old"], "the first token was the first replica's"


async def test_the_pace_of_a_stream_with_a_seam_is_nobodys() -> None:
    engines = [MockEngine(faults=[Fault(kind="reset", after=4)]), MockEngine()]
    async with in_front_of(*engines, revisions=("new", "new")) as gateway:
        await streamed(gateway, STREAM)
        assert (len(gateway.recorder.first_tokens), len(gateway.recorder.token_seconds)) == (1, 0)
        await streamed(gateway, STREAM)
        assert (len(gateway.recorder.first_tokens), len(gateway.recorder.token_seconds)) == (2, 1)


async def test_a_client_that_leaves_speaks_neither_for_nor_against_a_revision() -> None:
    engine = MockEngine(faults=[Fault(kind="silent")])
    async with in_front_of(engine, revisions=("new",)) as gateway:
        asking = asyncio.create_task(gateway.post(STREAM).__aenter__())
        await until(lambda: engine.received)
        asking.cancel()
        await until(lambda: gateway.recorder.statuses == [499])
    assert gateway.recorder.blame() == {}


@pytest.mark.parametrize("fault", [Fault(kind="silent"), Fault(kind="silent", after=0)])
async def test_a_replica_that_hangs_is_as_slow_as_its_client_was_patient(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_PATIENT_SECONDS", 0.3)
    engine = MockEngine(faults=[fault])
    async with in_front_of(engine, revisions=("new",)) as gateway:
        await leave(gateway, engine, STREAM, after=0.4)
        [(_, revision, tally)] = gateway.recorder.metrics.tallies
    assert (revision, tally.first_token.total) == ("new", 1)
    assert gateway.recorder.first_tokens[0] >= 0.4
    assert gateway.recorder.blame() == {}, "that it would have failed nobody knows"


IN_VAIN = [
    ("an impatient client", [Fault(kind="silent")], STREAM, 0.05),
    ("a whole answer", [Fault(kind="silent")], {"seed": 7}, 0.45),
    ("a stream that had begun", [Fault(kind="silent", after=4)], STREAM, 0.45),
]


@pytest.mark.parametrize(
    ("faults", "body", "after"), [case[1:] for case in IN_VAIN], ids=[case[0] for case in IN_VAIN]
)
async def test_leaving_says_nothing_of_a_replica_otherwise(
    faults: list[Fault], body: dict[str, Any], after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_PATIENT_SECONDS", 0.3)
    engine = MockEngine(faults=faults)
    async with in_front_of(engine, revisions=("new",)) as gateway:
        await leave(gateway, engine, body, after)
    assert [seconds for seconds in gateway.recorder.first_tokens if seconds > 0.3] == []


async def test_a_client_that_leaves_while_it_waits_for_a_replica_is_no_revisions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "_PATIENT_SECONDS", 0.3)
    engine = MockEngine(faults=[Fault(kind="reset")])
    async with in_front_of(engine, revisions=("new",)) as gateway:
        await leave(gateway, engine, STREAM, 0.45, meanwhile=gateway.table.endpoints.clear)
    assert gateway.recorder.first_tokens == []


async def leave(
    gateway: RunningGateway,
    engine: MockEngine,
    body: dict[str, Any],
    after: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """So many seconds after the request has come to the replica."""

    async def ask() -> None:
        async with gateway.post(body) as response:
            await response.read()

    asking = asyncio.create_task(ask())
    await until(lambda: engine.received)
    meanwhile()
    await asyncio.sleep(after)
    asking.cancel()
    await until(lambda: gateway.recorder.statuses == [499])
