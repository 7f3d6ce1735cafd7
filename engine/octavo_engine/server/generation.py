"""One path from the engine's tokens to text: a stream of deltas, which not streaming folds into one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, cast

from octavo_engine.messages import AddRequest, TokensReady
from octavo_engine.server.errors import EngineStopped, GenerationFailed
from octavo_engine.server.openai_replies import PromptTokensDetails, ReplyFinishReason, Usage
from octavo_engine.server.resume import FIELD, bad_resume
from octavo_engine.server.scored_text import ScoredText, ScoredToken
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.stop_matcher import StopMatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRequest:
    """One sequence to generate; `text_before` (echo) opens its text.

    Of one that was resumed `add.generated_token_ids` are known and `num_chars_sent` characters out already.
    """

    index: int
    add: AddRequest
    stop_strings: tuple[str, ...] = ()
    text_before: str = ""
    shares_prompt: bool = False
    """A further choice of a prompt that another choice already accounts for."""
    num_chars_sent: int = 0
    is_finished: bool = False
    """Nothing is left to generate; its tokens only count."""


class Observer(Protocol):
    """Watches one sequence; leaving its block without a finish reason is an abort."""

    finish_reason: Literal["stop", "length", "error"] | None

    def tokens_arrived(self, message: TokensReady) -> None: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """New text of one choice; the last one of a choice has the `finish_reason`."""

    index: int
    text: str
    finish_reason: ReplyFinishReason | None = None
    tokens: tuple[ScoredToken, ...] = ()
    """Those that `text` is made of, where the request asked for their probabilities."""
    is_first: bool = False
    """Nothing of this choice was sent before, on whichever engine."""
    settled_token_ids: tuple[int, ...] = ()
    num_chars: int = 0
    """As in `scored_text.Piece`."""


@dataclass(slots=True)
class Accounting:
    """Token counts of a whole request, filled while its deltas flow."""

    prompt_tokens: int
    generated: dict[int, int] = field(default_factory=dict)
    cached: dict[int, int] = field(default_factory=dict)

    def note(self, choice: ChoiceRequest, message: TokensReady) -> None:
        self.generated[choice.index] = message.num_generated_tokens
        if not choice.shares_prompt:
            known = self.cached.get(choice.index, 0)
            self.cached[choice.index] = max(known, message.num_cached_tokens)

    def usage(self) -> Usage:
        completion_tokens = sum(self.generated.values())
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=self.prompt_tokens + completion_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(self.cached.values())),
        )


class Generation:
    """All choices of one request. Closing `deltas()` early aborts what still runs."""

    def __init__(self, model: ServedModel, choices: Sequence[ChoiceRequest], observers: Sequence[Observer]):
        """Takes long where a long stream is resumed; raises BadRequest where that cannot be."""
        self._model = model
        self._choices = tuple(choices)
        self._running = [
            (choice, _scored_text(model, choice), observer)
            for choice, observer in zip(choices, observers, strict=True)
            if not choice.is_finished
        ]
        self.accounting = Accounting(
            sum(len(choice.add.prompt_token_ids) for choice in choices if not choice.shares_prompt),
            {choice.index: len(choice.add.generated_token_ids) for choice in choices},
        )

    @property
    def num_choices(self) -> int:
        return len(self._choices)

    @property
    def seeds(self) -> list[int | None]:
        return [choice.add.sampling.seed for choice in self._choices]

    def deltas(self) -> AsyncGenerator[Delta, None]:
        streams = [self._choice(*running) for running in self._running]
        return streams[0] if len(streams) == 1 else _merge(streams)

    async def _choice(
        self, choice: ChoiceRequest, scored_text: ScoredText, observer: Observer
    ) -> AsyncGenerator[Delta, None]:
        is_first = not choice.num_chars_sent
        messages = cast("AsyncGenerator[TokensReady, None]", self._model.engine.generate(choice.add))
        with observer:
            async with contextlib.aclosing(messages):
                async for message in messages:
                    self.accounting.note(choice, message)
                    observer.tokens_arrived(message)
                    piece = scored_text.feed(message)
                    finish_reason = _finish_reason(message, scored_text)
                    if finish_reason is not None:
                        observer.finish_reason = finish_reason
                    if piece.text or finish_reason is not None:
                        yield Delta(
                            index=choice.index,
                            text=choice.text_before + piece.text if is_first else piece.text,
                            finish_reason=finish_reason,
                            tokens=piece.tokens,
                            is_first=is_first,
                            settled_token_ids=piece.settled_token_ids,
                            num_chars=piece.num_chars,
                        )
                        is_first = False
                    if finish_reason is not None:
                        return
        raise GenerationFailed("the engine's stream ended without a finish reason")


def _scored_text(model: ServedModel, choice: ChoiceRequest) -> ScoredText:
    stop = StopMatcher(choice.stop_strings)
    text = ScoredText(model.codec, stop, min_tokens=choice.add.sampling.min_tokens)
    try:
        text.resume(choice.add.generated_token_ids, choice.num_chars_sent)
    except ValueError as error:
        raise bad_resume(f"{FIELD}.choices[{choice.index}]: {error}") from error
    return text


def _finish_reason(message: TokensReady, text: ScoredText) -> ReplyFinishReason | None:
    if text.is_stopped:
        return "stop"
    if message.finish_reason == "abort":
        raise EngineStopped("the engine stopped while it computed this request")
    if message.finish_reason == "error":
        raise GenerationFailed(message.error or "the engine ended the request")
    return message.finish_reason


async def _merge(streams: Sequence[AsyncGenerator[Delta, None]]) -> AsyncGenerator[Delta, None]:
    """Deltas of all streams as they come; the first failure ends all."""
    arrived: asyncio.Queue[Delta | BaseException | None] = asyncio.Queue()

    async def forward(stream: AsyncGenerator[Delta, None]) -> None:
        end: BaseException | None = None
        try:
            async with contextlib.aclosing(stream):
                async for delta in stream:
                    arrived.put_nowait(delta)
        except Exception as error:
            end = error
        arrived.put_nowait(end)

    tasks = [asyncio.create_task(forward(stream)) for stream in streams]
    try:
        num_running = len(tasks)
        while num_running:
            item = await arrived.get()
            if isinstance(item, Delta):
                yield item
            elif item is None:
                num_running -= 1
            else:
                raise item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
