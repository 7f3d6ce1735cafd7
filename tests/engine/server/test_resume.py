"""A stream that broke anywhere goes on at another server to the same events, and nonsense is refused."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fake_engine import FakeEngine
from gateway_stream import HEADERS, TOKEN, Event, resume_of, said, stream
from http_server import SETTINGS, RunningServer, running_server, served_model
from text_fixtures import byte_level_tokenizer

from octavo_engine.messages import AddRequest
from octavo_engine.server.detokenizer import Detokenizer
from octavo_engine.server.settings import ServerSettings
from octavo_engine.server.text_codec import TextCodec

RARE = "\U00010348"
ANSWER = f"Grüße {RARE}, EN, the END and more"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
PROMPT = {"model": "tiny", "prompt": "p", "max_tokens": 60}
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    (tmp_path / "token").write_text(TOKEN)
    return replace(SETTINGS, gateway_token_file=tmp_path / "token")


@pytest.fixture
def engine(codec: TextCodec) -> FakeEngine:
    """Each choice says a longer part of the answer, so that they end one after the other."""

    def script(request: AddRequest) -> tuple[int, ...]:
        index = int(request.request_id.rpartition("-")[2])
        return codec.encode(ANSWER[: len(ANSWER) - 9 + 3 * index], add_special_tokens=False)

    return FakeEngine(script, exactness="same")


@pytest.fixture
async def server(serving: Any, engine: FakeEngine, settings: ServerSettings) -> Any:
    async with serving(engine, settings) as running:
        yield running


def is_over(events: list[Event]) -> bool:
    """The gateway has all but [DONE]."""
    return any(event.comment is not None and "usage" in event.comment for event in events)


@pytest.mark.parametrize(
    "body",
    [
        CHAT,
        CHAT | USAGE | {"seed": 7},
        CHAT | {"logprobs": True, "top_logprobs": 2, "stop": [", END", "never"]},
        CHAT | USAGE | {"n": 3, "stop": "END", "logprobs": True},
        CHAT | {"max_tokens": 9},
        PROMPT | {"logprobs": 2, "stop": [RARE, "s"], "min_tokens": 9},
        PROMPT | USAGE | {"echo": True, "n": 2, "stop": "more"},
        PROMPT | USAGE | {"prompt": ["one", "two"], "n": 2, "logprobs": 0},
    ],
    ids=str,
)
async def test_a_stream_cut_behind_any_event_goes_on_to_the_same_events(
    server: RunningServer, body: dict[str, Any]
) -> None:
    whole = await stream(server.url, body)
    assert len(whole) > 5
    for cut in range(1, len(whole)):
        before = whole[:cut]
        if is_over(before):
            break
        after = await stream(server.url, body | {"octavo_resume": resume_of(before)})
        assert "start" in (after[0].comment or {})
        assert said([*before, *after]) == said(whole)
    else:
        raise AssertionError("the stream never told its usage")


async def test_a_stream_may_break_again_and_again(server: RunningServer) -> None:
    body = CHAT | {"n": 2, "logprobs": True}
    whole = await stream(server.url, body)
    events = (await stream(server.url, body))[:1]
    while not is_over(events):
        more = await stream(server.url, body | {"octavo_resume": resume_of(events)})
        events += more[:3]
    assert said(events)[0] == said(whole)[0]
    assert said(events)[1] == said(whole)[1]


async def test_a_stream_begins_with_what_it_takes_to_go_on_and_ends_with_usage(
    server: RunningServer, engine: FakeEngine
) -> None:
    first, *events, usage, done = await stream(server.url, CHAT | {"n": 2})
    assert first.data is None and first.comment is not None
    start = first.comment["start"]
    assert start["seeds"] == [request.sampling.seed for request in engine.requests]
    assert len(set(start["seeds"])) == 2
    assert start["exactness"] == "same"
    assert start["prompt_tokens"] == len(engine.requests[0].prompt_token_ids)
    assert {json.loads(event.data or "")["created"] for event in events} == {start["created"]}
    assert all(event.comment is not None and event.comment["i"] in (0, 1) for event in events)
    assert usage.data is None and usage.comment is not None
    generated = sum(len(event.comment["t"]) for event in events if event.comment)
    assert usage.comment["usage"] == {
        "prompt_tokens": start["prompt_tokens"],
        "completion_tokens": generated,
        "cached_tokens": 0,
    }
    assert done == Event(data="[DONE]")


async def test_a_seed_of_the_request_is_the_one_told(server: RunningServer) -> None:
    first, *_ = await stream(server.url, CHAT | {"n": 2, "seed": 2**63 - 1})
    assert first.comment is not None
    assert first.comment["start"]["seeds"] == [2**63 - 1, 0]


async def test_finished_choices_are_not_generated_again_and_count(
    server: RunningServer, engine: FakeEngine
) -> None:
    body = CHAT | {"n": 2, "max_tokens": 5}
    whole = await stream(server.url, body)
    engine.requests.clear()
    resume = resume_of(whole)
    assert [choice["finished"] for choice in resume["choices"]] == [True, True]
    after = await stream(server.url, body | {"octavo_resume": resume})
    assert engine.requests == []
    assert said(after) == {-1: said(whole)[-1]}


async def test_metrics_count_the_tokens_that_were_generated_here(server: RunningServer) -> None:
    whole = await stream(server.url, CHAT)
    num_whole = await num_generated(server)
    resume = resume_of(whole[:5])
    await stream(server.url, CHAT | {"octavo_resume": resume})
    assert await num_generated(server) - num_whole == num_whole - len(resume["choices"][0]["token_ids"])


async def num_generated(server: RunningServer) -> float:
    async with aiohttp.ClientSession(server.url) as session, session.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[-1]) for line in lines if "request_generation_tokens_sum" in line)


async def test_without_the_gateway_s_wish_a_stream_has_no_comments(server: RunningServer) -> None:
    quiet = {name: value for name, value in HEADERS.items() if name != "x-octavo-resumable"}
    events = await stream(server.url, CHAT, quiet)
    assert {event.comment is None for event in events} == {True}


@pytest.mark.parametrize(("failure", "code"), [("error", "internal_error"), ("draining", "server_draining")])
async def test_an_engine_that_gives_up_says_so_to_gateway_and_client(
    server: RunningServer, engine: FakeEngine, failure: str, code: str
) -> None:
    whole = await stream(server.url, CHAT)
    if failure == "error":
        engine.failure = "the device caught fire"
    else:
        engine.num_before_abort = 4
    *events, error, done = await stream(server.url, CHAT)
    assert error.comment == {"failed": failure}
    assert json.loads(error.data or "")["error"]["code"] == code
    assert done == Event(data="[DONE]")
    if failure == "draining":
        engine.num_before_abort = None
        after = await stream(server.url, CHAT | {"octavo_resume": resume_of(events)})
        assert said([*events, *after]) == said(whole)


async def test_a_whole_answer_that_a_drain_aborts_may_be_sent_again(
    server: RunningServer, engine: FakeEngine
) -> None:
    engine.num_before_abort = 4
    status, headers, error = await ask(server, CHAT)
    assert (status, headers["x-octavo-draining"], error["code"]) == (503, "true", "server_draining")


async def ask(
    server: RunningServer, body: dict[str, Any], headers: dict[str, str] = HEADERS
) -> tuple[int, Any, dict[str, Any]]:
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    async with (
        aiohttp.ClientSession(server.url) as session,
        session.post(path, json=body, headers=headers) as response,
    ):
        return response.status, response.headers, (await response.json())["error"]


def choice(**changed: Any) -> dict[str, Any]:
    return {"seed": 1, "token_ids": [70, 71], "num_chars": 9, "finished": False} | changed


def resume(*choices: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"created": 1, "exactness": "same", "choices": list(choices or (choice(),))} | changed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (resume(choice(token_ids=[512])), "choices[0].token_ids: token 512 is outside the vocabulary of 512"),
        (resume(choice(token_ids=[-1])), "Expected `int` >= 0"),
        (resume(choice(token_ids=[1] * 60)), "60 tokens; max_tokens 60 allows 59"),
        (resume(choice(token_ids=[1] * 61, finished=True)), "61 tokens; max_tokens 60 allows 60"),
        (resume(choice(num_chars=-1)), "Expected `int` >= 0"),
        (resume(choice(num_chars=0)), "choices[0]: num_chars 0 is less than its text of 2 characters"),
        (resume(choice(seed=-1)), "Expected `int` >= 0"),
        (resume(choice(), choice()), "2 choices, but the request asks for 1"),
        (resume(choices=[]), "0 choices, but the request asks for 1"),
        (resume(created=-1), "Expected `int` >= 0"),
        ({"created": 1}, "missing required field `exactness`"),
        ("again", "Expected `object | null`, got `str`"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
async def test_a_resume_that_cannot_be_is_refused(server: RunningServer, given: Any, message: str) -> None:
    status, _, error = await ask(server, PROMPT | {"stream": True, "octavo_resume": given})
    assert (status, str(error["param"]).split(".")[0]) == (400, "octavo_resume")
    assert message in error["message"]


async def test_only_streams_are_resumed(server: RunningServer) -> None:
    status, _, error = await ask(server, PROMPT | {"octavo_resume": resume()})
    assert (status, error["param"]) == (400, "octavo_resume")
    assert "only with stream=true" in error["message"]


@pytest.mark.parametrize(("own", "asked"), [("same", "other"), ("", ""), ("", "same")])
async def test_an_engine_that_may_say_other_tokens_does_not_go_on(
    serving: Any, says: Any, settings: ServerSettings, own: str, asked: str
) -> None:
    async with serving(FakeEngine(says("x"), exactness=own), settings) as server:
        body = PROMPT | {"stream": True, "octavo_resume": resume(exactness=asked)}
        status, _, error = await ask(server, body)
    assert (status, error["code"]) == (409, "not_resumable")


async def test_a_resumed_text_is_made_again_beside_the_event_loop(settings: ServerSettings) -> None:
    threads: set[str] = set()

    class WatchedCodec(TextCodec):
        def detokenizer(self) -> Detokenizer:
            threads.add(threading.current_thread().name)
            return super().detokenizer()

    codec = WatchedCodec(byte_level_tokenizer())
    engine = FakeEngine(lambda request: codec.encode(ANSWER, add_special_tokens=False), exactness="same")
    async with running_server(settings, served_model(engine, codec)) as server:
        whole = await stream(server.url, CHAT)
        threads.clear()
        await stream(server.url, CHAT | {"octavo_resume": resume_of(whole[:4])})
    assert {name.startswith("octavo-text") for name in threads} == {True}
