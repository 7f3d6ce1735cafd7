"""Log probabilities in answers, seen by the real `openai` client."""

import itertools
from typing import Any

import pytest
from fake_engine import FakeEngine
from openai.types.chat import ChatCompletionMessageParam
from text_fixtures import byte_fallback_tokenizer

from octavo_engine.server.text_codec import TextCodec

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
RARE = "\U00010348"
"""A character of four bytes that the tokenizer spells in four tokens."""
ANSWER = f"Grüße {RARE}, END and more{RARE}"


async def test_a_chat_answer_has_each_token_with_its_alternatives(
    serving: Any, client_of: Any, says: Any, codec: TextCodec
) -> None:
    engine = FakeEngine(says(ANSWER))
    async with serving(engine) as server:
        answer = await client_of(server).chat.completions.create(
            model="tiny", messages=HELLO, logprobs=True, top_logprobs=3
        )
    token_ids = says(ANSWER)(engine.requests[0])
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == ANSWER
    assert [bytes(token.bytes) for token in content] == [codec.spelling(token_id) for token_id in token_ids]
    assert {token.logprob for token in content} == {-1.5}
    for token_id, token in zip(token_ids, content, strict=True):
        top = [(bytes(other.bytes), other.logprob) for other in token.top_logprobs]
        assert top == [
            (codec.spelling(token_id - 1), -0.25),
            (codec.spelling(token_id), -1.5),
            (codec.spelling(token_id + 1), -9999.0),
        ]
        assert token.token == bytes(token.bytes).decode(errors="replace")


@pytest.mark.parametrize(("top_logprobs", "expected"), [(None, 0), (0, 0), (1, 1)])
async def test_a_chat_without_alternatives_has_the_chosen_tokens_alone(
    serving: Any, client_of: Any, says: Any, top_logprobs: int | None, expected: int
) -> None:
    engine = FakeEngine(says("a b"))
    async with serving(engine) as server:
        answer = await client_of(server).chat.completions.create(
            model="tiny", messages=HELLO, logprobs=True, top_logprobs=top_logprobs
        )
    assert {len(token.top_logprobs) for token in answer.choices[0].logprobs.content} == {expected}
    assert engine.requests[0].sampling.num_logprobs == expected


async def test_a_completion_has_openais_older_shape(
    serving: Any, client_of: Any, says: Any, codec: TextCodec
) -> None:
    engine = FakeEngine(says("dog"))
    async with serving(engine) as server:
        answer = await client_of(server).completions.create(model="tiny", prompt="p", logprobs=1)
    token_ids = says("dog")(engine.requests[0])
    spelt = [codec.spelling(token_id).decode() for token_id in token_ids]
    likelier = [codec.spelling(token_id - 1).decode() for token_id in token_ids]
    given = answer.choices[0].logprobs
    assert given.tokens == spelt
    assert given.token_logprobs == [-1.5] * len(spelt)
    # The chosen token is always among them, whatever its rank.
    assert given.top_logprobs == [
        {other: -0.25, token: -1.5} for other, token in zip(likelier, spelt, strict=True)
    ]
    assert given.text_offset == [0, *itertools.accumulate(map(len, spelt[:-1]))]


async def test_the_bytes_of_a_character_begin_where_it_begins_and_are_spelt_as_openai_does(
    serving: Any, client_of: Any, says: Any
) -> None:
    async with serving(FakeEngine(says(f"x{RARE}y"))) as server:
        answer = await client_of(server).completions.create(model="tiny", prompt="p", logprobs=0)
    [choice] = answer.choices
    assert choice.text == f"x{RARE}y"
    spelt = ["x", *(f"bytes:\\x{byte:02x}" for byte in RARE.encode()), "y"]
    assert choice.logprobs.tokens == spelt
    assert choice.logprobs.text_offset == [0, 1, 1, 1, 1, 2]
    assert choice.logprobs.top_logprobs == [{token: -1.5} for token in spelt]


@pytest.mark.parametrize("stop", [None, ", END", RARE, "G", "D and", "more", "nowhere"])
async def test_a_stream_sends_tokens_with_the_text_they_make_and_folds_to_the_whole(
    serving: Any, client_of: Any, says: Any, stop: str | None
) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "p", "logprobs": 2, "max_tokens": 50, "stop": stop}
    async with serving(FakeEngine(says(ANSWER))) as server:
        client = client_of(server)
        whole = (await client.completions.create(**asked)).choices[0]
        chunks = [chunk.choices[0] async for chunk in await client.completions.create(**asked, stream=True)]
    assert whole.text == (ANSWER if stop in (None, "nowhere") else ANSWER.split(stop or "")[0])
    assert "".join(chunk.text for chunk in chunks) == whole.text
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert [item for chunk in chunks for item in getattr(chunk.logprobs, name)] == getattr(
            whole.logprobs, name
        )
    length = 0
    for chunk in chunks:
        length += len(chunk.text)
        assert all(offset < length for offset in chunk.logprobs.text_offset), "a token before its text"
    assert all(offset < len(whole.text) for offset in whole.logprobs.text_offset), "a token that was cut off"
    if whole.text:
        assert whole.logprobs.text_offset[0] == 0


@pytest.mark.parametrize("max_tokens", range(1, 12))
async def test_a_stop_string_that_the_last_token_completes_cuts_tokens_too(
    serving: Any, client_of: Any, says: Any, max_tokens: int
) -> None:
    async with serving(FakeEngine(says("ab, END and more"))) as server:
        answer = await client_of(server).completions.create(
            model="tiny", prompt="p", logprobs=0, max_tokens=max_tokens, stop=", END"
        )
    [choice] = answer.choices
    assert ", END" not in choice.text
    assert "".join(choice.logprobs.tokens) == choice.text


async def test_a_chat_stream_has_log_probabilities_and_none_where_nobody_asked(
    serving: Any, client_of: Any, says: Any
) -> None:
    async with serving(FakeEngine(says(ANSWER))) as server:
        client = client_of(server)
        stream = await client.chat.completions.create(
            model="tiny", messages=HELLO, logprobs=True, top_logprobs=1, stream=True
        )
        chunks = [chunk.choices[0] async for chunk in stream]
        plain = await client.chat.completions.create(model="tiny", messages=HELLO, stream=True)
        silent = [chunk.choices[0].logprobs async for chunk in plain]
        whole = await client.chat.completions.create(model="tiny", messages=HELLO)
    tokens = [token for chunk in chunks for token in chunk.logprobs.content]
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == ANSWER
    assert set(silent) == {None}
    assert whole.choices[0].logprobs is None


def test_spellings_of_a_byte_fallback_vocabulary() -> None:
    tokenizer = byte_fallback_tokenizer()
    codec = TextCodec(tokenizer)
    assert codec.spelling(tokenizer.token_to_id("▁fox")) == b" fox"
    assert codec.spelling(tokenizer.token_to_id("<0xE2>")) == b"\xe2"
    assert codec.spelling(tokenizer.token_to_id("<s>")) == b"<s>"
    assert codec.spelling(10_000) == b""


def test_special_tokens_are_spelt_by_name(codec: TextCodec) -> None:
    token_id = codec.encode("<|end|>", add_special_tokens=False)[0]
    assert codec.spelling(token_id) == b"<|end|>"
