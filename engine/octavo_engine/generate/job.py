"""Answers all prompts with one model, many at a time. Text is made as the server makes it."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from octavo_engine.config import EngineConfig
from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.generate.answer_file import Answer, AnswerUsage, AnswerWriter
from octavo_engine.generate.progress import Counts, show_progress
from octavo_engine.generate.prompt_file import FilePrompt
from octavo_engine.messages import TokensReady
from octavo_engine.model_loading import load_model
from octavo_engine.server.chat import render_prompt
from octavo_engine.server.chat_template import read_chat_template
from octavo_engine.server.completions import encode_prompts
from octavo_engine.server.errors import BadRequest, GenerationFailed
from octavo_engine.server.generation import Generation
from octavo_engine.server.openai_schema import ChatRequest
from octavo_engine.server.request_planning import plan_choices
from octavo_engine.server.served_model import ServedModel
from octavo_engine.sources import HubAccess, resolve_source


class TokenCounter:
    """Implements `generation.Observer`."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._num_seen = 0
        self.finish_reason: Literal["stop", "length", "error"] | None = None

    def tokens_arrived(self, message: TokensReady) -> None:
        self._counts.tokens += max(0, message.num_generated_tokens - self._num_seen)
        self._num_seen = max(self._num_seen, message.num_generated_tokens)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def run_job(
    source: str, hub: HubAccess, config: EngineConfig, prompts: Sequence[FilePrompt], writer: AnswerWriter
) -> int:
    """Load the model and answer; how many prompts failed. Raises the errors of `errors`."""
    if not prompts:
        return 0
    _check_chat(prompts, resolve_source(source, hub))
    model = load_model(source, hub, config, (source,))
    counts = Counts(total=len(prompts))
    try:
        asyncio.run(_answer_in_sight(model, prompts, writer, counts, 2 * config.scheduler.max_num_seqs))
    finally:
        model.engine.shutdown()
    sys.stderr.write(f"octavo generate: {counts.text(time.monotonic())}\n")
    return counts.failed


def _check_chat(prompts: Sequence[FilePrompt], folder: Path) -> None:
    """Each prompt would say so too, but only once the model is loaded."""
    if any(isinstance(prompt.request, ChatRequest) for prompt in prompts) and not read_chat_template(folder):
        raise InvalidEngineConfig(
            f"{folder} has no chat template: leave out --chat and messages, or add a chat_template.jinja"
        )


async def _answer_in_sight(
    model: ServedModel, prompts: Sequence[FilePrompt], writer: AnswerWriter, counts: Counts, max_open: int
) -> None:
    progress = asyncio.create_task(show_progress(counts))
    try:
        await answer_all(model, prompts, write=writer.write, counts=counts, max_open=max_open)
    finally:
        progress.cancel()
        await asyncio.gather(progress, return_exceptions=True)


async def answer_all(
    model: ServedModel,
    prompts: Sequence[FilePrompt],
    *,
    write: Callable[[Answer], None],
    counts: Counts,
    max_open: int,
) -> None:
    """`write` gets each answer when it is complete. A prompt that fails is an answer with an error.

    No more than `max_open` prompts are tokens at a time, however long the file is.
    """
    places = asyncio.Semaphore(max_open)

    async def one(prompt: FilePrompt) -> None:
        try:
            answer = await _answer(model, prompt, counts)
            write(answer)
            counts.done += 1
            counts.failed += answer.error is not None
        finally:
            places.release()

    try:
        async with asyncio.TaskGroup() as group:
            for prompt in prompts:
                await places.acquire()
                group.create_task(one(prompt))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _answer(model: ServedModel, prompt: FilePrompt, counts: Counts) -> Answer:
    try:
        generation = _generation(model, prompt, counts)
        text, finish_reason = "", None
        async with contextlib.aclosing(generation.deltas()) as deltas:
            async for delta in deltas:
                text += delta.text
                finish_reason = delta.finish_reason
    except (BadRequest, GenerationFailed) as error:
        return Answer(index=prompt.index, id=prompt.id, error=str(error))
    usage = generation.accounting.usage()
    return Answer(
        index=prompt.index,
        id=prompt.id,
        digest=prompt.digest,
        text=text,
        finish_reason=finish_reason,
        usage=AnswerUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.prompt_tokens_details.cached_tokens,
        ),
    )


def _generation(model: ServedModel, prompt: FilePrompt, counts: Counts) -> Generation:
    request = prompt.request
    if isinstance(request, ChatRequest):
        tokens, max_tokens = (
            render_prompt(model, request),
            request.max_completion_tokens or request.max_tokens,
        )
    else:
        (tokens,), max_tokens = encode_prompts(model, request), request.max_tokens
    choices = plan_choices(
        request,
        [tokens],
        model.engine.info,
        max_tokens=max_tokens,
        engine_request_id=str(prompt.index),
        arrival_time=time.monotonic(),
    )
    return Generation(model, choices, [TokenCounter(counts)])
