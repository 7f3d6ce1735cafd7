"""Right answers, seen by the real `openai` client over a real socket."""

import asyncio
from typing import Any

import pytest
from fake_engine import FakeEngine
from openai.types.chat import ChatCompletionMessageParam

from octavo_engine.messages import SamplingParams
from octavo_engine.server.text_codec import TextCodec

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
ANSWER = "Grüße 🙂, END and more"


async def test_a_chat_answer_has_text_reason_and_usage(serving: Any, client_of: Any, says: Any) -> None:
    engine = FakeEngine(says(ANSWER), num_cached_tokens=2)
    async with serving(engine) as server:
        answer = await client_of(server).chat.completions.create(model="tiny", messages=HELLO)
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason, answer.model) == (ANSWER, "stop", "tiny")
    num_prompt = len(engine.requests[0].prompt_token_ids)
    num_generated = len(says(ANSWER)(engine.requests[0])) + 1
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (
        num_prompt,
        num_generated,
        num_prompt + num_generated,
    )
    assert usage.prompt_tokens_details.cached_tokens == 2


async def test_the_chat_template_makes_the_prompt(
    serving: Any, client_of: Any, says: Any, codec: TextCodec
) -> None:
    engine = FakeEngine(says("x"))
    parts = [{"type": "text", "text": "two"}, {"type": "text", "text": "lines"}]
    async with serving(engine) as server:
        await client_of(server).chat.completions.create(
            model="tiny",
            messages=[{"role": "system", "content": "be kind"}, {"role": "user", "content": parts}],
        )
    expected = "system: be kind<|turn|>\nuser: two\nlines<|turn|>\nassistant: "
    assert engine.requests[0].prompt_token_ids == codec.encode(expected, add_special_tokens=False)


async def test_a_stream_folds_to_the_whole_answer_and_ends_with_usage(
    serving: Any, client_of: Any, says: Any
) -> None:
    async with serving(FakeEngine(says(ANSWER))) as server:
        client = client_of(server)
        whole = await client.chat.completions.create(model="tiny", messages=HELLO)
        stream = await client.chat.completions.create(
            model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    *spoken, last = chunks
    assert (last.choices, last.usage) == ([], whole.usage)
    assert all(chunk.usage is None for chunk in spoken)
    deltas = [chunk.choices[0] for chunk in spoken]
    assert [delta.delta.role for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    assert "".join(delta.delta.content or "" for delta in deltas) == ANSWER
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert len(deltas) > 5
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_that_did_not_ask_for_usage_has_none(serving: Any, client_of: Any, says: Any) -> None:
    async with serving(FakeEngine(says("a b"))) as server:
        stream = await client_of(server).completions.create(model="tiny", prompt="p", stream=True)
        chunks = [chunk async for chunk in stream]
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_across_tokens_ends_the_text_and_aborts_the_rest(
    serving: Any, client_of: Any, says: Any, stream: bool
) -> None:
    engine = FakeEngine(says(ANSWER))
    async with serving(engine) as server:
        answer = await client_of(server).chat.completions.create(
            model="tiny", messages=HELLO, stop=[", END", "never"], stream=stream
        )
        if stream:
            choices = [chunk.choices[0] async for chunk in answer]
            text = "".join(choice.delta.content or "" for choice in choices)
            reason = choices[-1].finish_reason
        else:
            text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert (text, reason) == ("Grüße 🙂", "stop")
    assert engine.aborted == {engine.requests[0].request_id}


async def test_a_stop_string_before_min_tokens_does_not_stop(serving: Any, client_of: Any, says: Any) -> None:
    async with serving(FakeEngine(says("a a a b"))) as server:
        answer = await client_of(server).completions.create(
            model="tiny", prompt="p", stop="a", extra_body={"min_tokens": 3}
        )
    assert len(answer.choices[0].text) >= 3


async def test_max_tokens_ends_with_length(serving: Any, client_of: Any, says: Any) -> None:
    async with serving(FakeEngine(says(ANSWER))) as server:
        answer = await client_of(server).chat.completions.create(
            model="tiny", messages=HELLO, max_completion_tokens=3
        )
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 3)


@pytest.mark.parametrize("stream", [False, True])
async def test_choices_of_several_prompts_come_in_openai_order_and_count_each_prompt_once(
    serving: Any, client_of: Any, codec: TextCodec, stream: bool
) -> None:
    engine = FakeEngine(lambda request: request.prompt_token_ids, num_cached_tokens=1)
    async with serving(engine) as server:
        answer = await client_of(server).completions.create(
            model="tiny", prompt=["one", "two words"], n=2, seed=7, echo=True, max_tokens=20, stream=stream,
            **({"stream_options": {"include_usage": True}} if stream else {}),
        )  # fmt: skip
        texts, usage = {}, None
        for part in [part async for part in answer] if stream else [answer]:
            usage = part.usage or usage
            for choice in part.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text
    assert texts == {0: "oneone", 1: "oneone", 2: "two wordstwo words", 3: "two wordstwo words"}
    num_prompts = sum(len(codec.encode(text, add_special_tokens=True)) for text in ("one", "two words"))
    assert usage is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (num_prompts, 2)
    assert sorted(request.sampling.seed or 0 for request in engine.requests) == [7, 7, 8, 8]
    assert len({request.request_id for request in engine.requests}) == 4


@pytest.mark.parametrize("prompt", [[5, 6, 7], [[5, 6, 7], [8]]])
async def test_prompts_may_be_token_ids(serving: Any, client_of: Any, says: Any, prompt: list[Any]) -> None:
    engine = FakeEngine(says("x"))
    async with serving(engine) as server:
        await client_of(server).completions.create(model="tiny", prompt=prompt)
    given = prompt if isinstance(prompt[0], list) else [prompt]
    assert [list(request.prompt_token_ids) for request in engine.requests] == given


async def test_every_sampling_field_reaches_the_engine(serving: Any, client_of: Any, says: Any) -> None:
    engine = FakeEngine(says("x"))
    async with serving(engine) as server:
        await client_of(server).completions.create(
            model="tiny",
            prompt="p",
            max_tokens=9,
            temperature=0.5,
            top_p=0.9,
            seed=3,
            user="me",
            presence_penalty=-0.5,
            frequency_penalty=2,
            logprobs=4,
            extra_body={
                "top_k": 4, "min_p": 0.1, "repetition_penalty": 1.2, "stop_token_ids": [1, 2],
                "ignore_eos": True, "min_tokens": 2,
            },
        )  # fmt: skip
    assert engine.requests[0].sampling == SamplingParams(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        min_p=0.1,
        presence_penalty=-0.5,
        frequency_penalty=2,
        repetition_penalty=1.2,
        num_logprobs=4,
        seed=3,
        stop_token_ids=(1, 2),
        ignore_eos=True,
        min_tokens=2,
    )


async def test_defaults_are_openais(serving: Any, client_of: Any, says: Any) -> None:
    engine = FakeEngine(says("x"), max_model_len=100)
    async with serving(engine) as server:
        await client_of(server).completions.create(model="tiny", prompt="p")
        await client_of(server).chat.completions.create(model="tiny", messages=HELLO)
    completion, chat = engine.requests
    assert completion.sampling == SamplingParams(max_tokens=16)
    assert chat.sampling == SamplingParams(max_tokens=100 - len(chat.prompt_token_ids))


async def test_priority_and_cache_salt_reach_the_engine_with_every_choice(
    serving: Any, client_of: Any, says: Any
) -> None:
    engine = FakeEngine(says("x"))
    async with serving(engine) as server:
        completions = client_of(server).chat.completions
        extra = {"priority": -3, "cache_salt": "tenant"}
        await completions.create(model="tiny", messages=HELLO, n=2, extra_body=extra)
        await completions.create(model="tiny", messages=HELLO)
    assert [(add.priority, add.cache_salt) for add in engine.requests] == [(-3, "tenant")] * 2 + [(0, "")]


async def test_models_are_listed_and_found_by_name(serving: Any, client_of: Any, says: Any) -> None:
    async with serving(FakeEngine(says("x"), max_model_len=99)) as server:
        listed = await client_of(server).models.list()
        one = await client_of(server).models.retrieve("tiny-alias")
    assert [(card.id, card.max_model_len) for card in listed.data] == [("tiny", 99), ("tiny-alias", 99)]
    assert one.id == "tiny-alias"


async def test_many_clients_at_once_get_their_own_answers(serving: Any, client_of: Any) -> None:
    engine = FakeEngine(lambda request: request.prompt_token_ids, seconds_per_token=0.001)
    async with serving(engine) as server:
        client = client_of(server)
        prompts = [f"number {number}" for number in range(12)]
        answers = await asyncio.gather(
            *(client.completions.create(model="tiny", prompt=prompt, max_tokens=50) for prompt in prompts)
        )
    assert [answer.choices[0].text for answer in answers] == prompts
    assert not engine.aborted


async def test_the_request_id_of_the_caller_is_kept_and_fields_that_nobody_knows_are_named(
    serving: Any, client_of: Any, says: Any
) -> None:
    async with serving(FakeEngine(says("x"))) as server:
        raw = await client_of(server).completions.with_raw_response.create(
            model="tiny",
            prompt="p",
            extra_headers={"x-request-id": "mine-1"},
            extra_body={"zebra": 1, "aardvark": 2, "metadata": {}},
        )
        forged = await client_of(server).completions.with_raw_response.create(
            model="tiny", prompt="p", extra_headers={"x-request-id": "a b=c"}
        )
    assert raw.headers["x-request-id"] == "mine-1"
    assert raw.headers["x-octavo-ignored-fields"] == "aardvark,zebra"
    assert forged.headers["x-request-id"] != "a b=c"
    assert "x-octavo-ignored-fields" not in forged.headers
