"""One path from the engine's tokens to text: a stream of deltas, which not streaming folds into one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, cast

from octavo_engine.messages import AddRequest, TokensReady
from octavo_engine.server.errors import GenerationFailed
from octavo_engine.server.openai_replies import PromptTokensDetails, ReplyFinishReason, Usage
from octavo_engine.server.scored_text import ScoredText, ScoredToken
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.stop_matcher import StopMatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRequest:
    """One sequence to generate; `text_before` (echo) opens its text."""

    index: int
    add: AddRequest
    stop_strings: tuple[str, ...] = ()
    text_before: str = ""
    shares_prompt: bool = False
    """A further choice of a prompt that another choice already accounts for."""


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
        self._model = model
        self._choices = tuple(choices)
        self._observers = tuple(observers)
        self.accounting = Accounting(
            sum(len(choice.add.prompt_token_ids) for choice in choices if not choice.shares_prompt)
        )

    @property
    def num_choices(self) -> int:
        return len(self._choices)

    def deltas(self) -> AsyncGenerator[Delta, None]:
        streams = [self._choice(*pair) for pair in zip(self._choices, self._observers, strict=True)]
        return streams[0] if len(streams) == 1 else _merge(streams)

    async def _choice(self, choice: ChoiceRequest, observer: Observer) -> AsyncGenerator[Delta, None]:
        matcher = StopMatcher(choice.stop_strings)
        scored_text = ScoredText(self._model.codec, matcher)
        if choice.text_before:
            yield Delta(index=choice.index, text=choice.text_before)
        messages = cast("AsyncGenerator[TokensReady, None]", self._model.engine.generate(choice.add))
        with observer:
            async with contextlib.aclosing(messages):
                async for message in messages:
                    self.accounting.note(choice, message)
                    observer.tokens_arrived(message)
                    may_stop = message.num_generated_tokens > choice.add.sampling.min_tokens
                    piece = scored_text.feed(message, may_stop=may_stop)
                    finish_reason = _finish_reason(message, matcher)
                    if finish_reason is not None:
                        observer.finish_reason = finish_reason
                    if piece.text or finish_reason is not None:
                        yield Delta(
                            index=choice.index,
                            text=piece.text,
                            finish_reason=finish_reason,
                            tokens=piece.tokens,
                        )
                    if finish_reason is not None:
                        return
        raise GenerationFailed("the engine's stream ended without a finish reason")


def _finish_reason(message: TokensReady, matcher: StopMatcher) -> ReplyFinishReason | None:
    if matcher.is_stopped:
        return "stop"
    if message.finish_reason in ("error", "abort"):
        raise GenerationFailed(message.error or f"the engine ended the request: {message.finish_reason}")
    return cast("ReplyFinishReason | None", message.finish_reason)


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
