import pytest
from fake_engine import FakeEngine
from http_server import served_model
from text_fixtures import byte_level_tokenizer

from octavo_engine.generate.answer_file import Answer, AnswerUsage
from octavo_engine.generate.job import answer_all
from octavo_engine.generate.progress import Counts
from octavo_engine.generate.prompt_file import PromptDefaults, read_prompts
from octavo_engine.messages import AddRequest
from octavo_engine.server.text_codec import TextCodec

CODEC = TextCodec(byte_level_tokenizer())
DEFAULTS = PromptDefaults(sampling={"max_tokens": 50})


def echo(request: AddRequest) -> tuple[int, ...]:
    return request.prompt_token_ids


async def run(engine: FakeEngine, text: str, *, max_open: int = 8) -> tuple[dict[int, Answer], Counts]:
    prompts = read_prompts("-", text, DEFAULTS)
    answers: dict[int, Answer] = {}
    counts = Counts(total=len(prompts))

    def write(answer: Answer) -> None:
        answers[answer.index] = answer

    await answer_all(served_model(engine, CODEC), prompts, write=write, counts=counts, max_open=max_open)
    return answers, counts


async def test_an_answer_has_its_text_its_reason_and_its_usage() -> None:
    answers, counts = await run(FakeEngine(echo, num_cached_tokens=1), "The dog\n")
    length = len(CODEC.encode("The dog", add_special_tokens=True))
    usage = AnswerUsage(prompt_tokens=length, completion_tokens=length + 1, cached_tokens=1)
    (prompt,) = read_prompts("-", "The dog\n", DEFAULTS)
    expected = Answer(index=0, digest=prompt.digest, text="The dog", finish_reason="stop", usage=usage)
    assert answers == {0: expected}
    assert (counts.done, counts.failed, counts.tokens) == (1, 0, length + 1)


async def test_stop_strings_end_an_answer_and_abort_its_request() -> None:
    engine = FakeEngine(echo)
    answers, _ = await run(engine, '{"prompt": "The lazy dog", "stop": "lazy"}\n')
    assert (answers[0].text, answers[0].finish_reason) == ("The ", "stop")
    assert engine.aborted == {request.request_id for request in engine.requests}


async def test_a_prompt_that_does_not_fit_fails_alone() -> None:
    answers, counts = await run(FakeEngine(echo, max_model_len=60), "The dog\n" + "fox " * 80 + "\nThe fox\n")
    assert [answers[index].error is None for index in range(3)] == [True, False, True]
    assert "the model's context is 60 tokens" in (answers[1].error or "")
    assert (counts.done, counts.failed) == (3, 1)


async def test_what_the_engine_refuses_is_that_prompt_s_error() -> None:
    answers, _ = await run(FakeEngine(echo, failure="no block is free"), "The dog\n")
    assert answers[0] == Answer(index=0, error="no block is free")


async def test_no_more_prompts_are_open_than_allowed() -> None:
    engine = FakeEngine(echo)
    most = 0

    def script(request: AddRequest) -> tuple[int, ...]:
        nonlocal most
        most = max(most, len(engine.running))
        return request.prompt_token_ids

    engine.script = script
    answers, _ = await run(engine, "The dog\n" * 9, max_open=3)
    assert (len(answers), most) == (9, 3)


async def test_an_answer_that_cannot_be_written_ends_the_job() -> None:
    def full(answer: Answer) -> None:
        raise OSError(28, "No space left on device")

    prompts = read_prompts("-", "a\nb\n", DEFAULTS)
    with pytest.raises(OSError, match="No space left"):
        await answer_all(
            served_model(FakeEngine(echo), CODEC), prompts, write=full, counts=Counts(total=2), max_open=1
        )
