"""What chat and completions do alike once they have a request: plan it, run it, stream or fold it."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from octavo_engine.server.client_connection import LAST_EVENT, EventStream, event, until_client_leaves
from octavo_engine.server.edge import internal_error
from octavo_engine.server.errors import ApiError, BadRequest, EngineStopped, server_draining
from octavo_engine.server.gate import overloaded
from octavo_engine.server.gateway_comments import GatewayComments
from octavo_engine.server.gateway_trust import caller_of
from octavo_engine.server.generation import ChoiceRequest, Delta, Generation
from octavo_engine.server.lifecycle import Lifecycle
from octavo_engine.server.metrics import Metrics, RequestTimer
from octavo_engine.server.openai_replies import ReplyFinishReason, Usage
from octavo_engine.server.openai_schema import GenerationRequest, Parsed
from octavo_engine.server.request_planning import Prompt, plan_choices
from octavo_engine.server.scored_text import ScoredToken
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.settings import ServerSettings

logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedChoice:
    index: int
    text: str
    finish_reason: ReplyFinishReason
    tokens: tuple[ScoredToken, ...] = ()


class ReplyFormat(Protocol):
    """How an endpoint words its answers."""

    @property
    def created(self) -> int:
        """Unix seconds that every chunk bears."""
        ...

    def chunk(self, delta: Delta) -> msgspec.Struct: ...

    def usage_chunk(self, usage: Usage) -> msgspec.Struct: ...

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage) -> msgspec.Struct: ...


class Answering:
    """Shared by the routes of one app: its engine's admission and its threads for text."""

    def __init__(self, settings: ServerSettings, lifecycle: Lifecycle, metrics: Metrics) -> None:
        self._max_open_sequences = settings.max_open_sequences
        self._num_open_sequences = 0
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._engine_request_numbers = itertools.count()
        # Parsing, templates and tokenizing take milliseconds to seconds: not on the event loop.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="octavo-text")

    @property
    def model(self) -> ServedModel:
        return self._lifecycle.model()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def off_loop(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def plan(
        self,
        http: Request,
        parsed: Parsed[GenerationRequest],
        prompts: Sequence[Prompt],
        max_tokens: int | None,
    ) -> tuple[ChoiceRequest, ...]:
        request = parsed.request
        num_sequences = len(prompts) * request.num_choices
        if num_sequences > self._max_open_sequences:
            raise BadRequest(
                f"n: {num_sequences} sequences in one request; at most {self._max_open_sequences}", param="n"
            )
        # Callers may reuse a request id; the engine needs one that is its alone.
        number = next(self._engine_request_numbers)
        return plan_choices(
            request,
            prompts,
            self.model.engine.info,
            max_tokens=max_tokens,
            engine_request_id=f"{http.state.request_id}-{number}",
            arrival_time=time.monotonic(),
            caller=caller_of(http.scope),
        )

    async def answer(
        self,
        http: Request,
        parsed: Parsed[GenerationRequest],
        choices: Sequence[ChoiceRequest],
        reply: ReplyFormat,
    ) -> Response:
        for choice in choices:
            self._metrics.params_max_tokens.observe(choice.add.sampling.max_tokens)
        self._metrics.params_n.observe(parsed.request.num_choices)
        headers = (
            {"x-octavo-ignored-fields": ",".join(parsed.ignored_fields)} if parsed.ignored_fields else {}
        )
        if self._num_open_sequences + len(choices) > self._max_open_sequences:
            raise overloaded(self._num_open_sequences)
        if parsed.request.octavo_resume is None:
            generation = self._generation(choices)
        else:  # a long stream's text takes a while to make again
            generation = await self.off_loop(self._generation, choices)
        if parsed.request.stream:
            comments = GatewayComments(are_wanted=caller_of(http.scope).wants_comments)
            includes_usage = parsed.request.includes_usage
            return EventStream(
                self._events(http.state.request_id, generation, reply, comments, includes_usage), headers
            )
        whole = await until_client_leaves(http.receive, self._whole(generation, reply))
        return Response(msgspec.json.encode(whole), media_type="application/json", headers=headers)

    def _generation(self, choices: Sequence[ChoiceRequest]) -> Generation:
        timers = [
            RequestTimer(
                self._metrics,
                choice.add.arrival_time,
                num_prompt_tokens=len(choice.add.prompt_token_ids),
                num_resumed_tokens=len(choice.add.generated_token_ids),
            )
            for choice in choices
        ]
        return Generation(self.model, choices, timers)

    @contextlib.contextmanager
    def _open(self, generation: Generation) -> Iterator[None]:
        self._num_open_sequences += generation.num_choices
        try:
            yield
        finally:
            self._num_open_sequences -= generation.num_choices

    async def _whole(self, generation: Generation, reply: ReplyFormat) -> msgspec.Struct:
        texts: dict[int, list[str]] = {}
        tokens: dict[int, list[ScoredToken]] = {}
        reasons: dict[int, ReplyFinishReason] = {}
        try:
            with self._open(generation):
                async for delta in generation.deltas():
                    texts.setdefault(delta.index, []).append(delta.text)
                    tokens.setdefault(delta.index, []).extend(delta.tokens)
                    if delta.finish_reason is not None:
                        reasons[delta.index] = delta.finish_reason
        except EngineStopped as error:
            raise server_draining() from error
        choices = [
            FinishedChoice(
                index=index,
                text="".join(texts[index]),
                finish_reason=reasons[index],
                tokens=tuple(tokens[index]),
            )
            for index in sorted(texts)
        ]
        return reply.whole(choices, generation.accounting.usage())

    async def _events(
        self,
        request_id: str,
        generation: Generation,
        reply: ReplyFormat,
        comments: GatewayComments,
        includes_usage: bool,
    ) -> AsyncGenerator[bytes, None]:
        encode = msgspec.json.Encoder().encode
        accounting = generation.accounting
        start = comments.start(
            prompt_tokens=accounting.prompt_tokens,
            created=reply.created,
            seeds=generation.seeds,
            exactness=self.model.engine.info.exactness,
        )
        if start:
            yield start + b"\n"
        try:
            with self._open(generation):
                async with contextlib.aclosing(generation.deltas()) as deltas:
                    async for delta in deltas:
                        yield event(encode(reply.chunk(delta)), comments.sent(delta))
            usage = accounting.usage()
            if includes_usage:
                yield event(encode(reply.usage_chunk(usage)), comments.usage(usage))
            elif comment := comments.usage(usage):
                yield comment + b"\n"
        except Exception as error:
            # The status is sent; an error event is how OpenAI's clients learn of a failure from here on.
            is_stopped = isinstance(error, EngineStopped)
            failure: ApiError = server_draining() if is_stopped else internal_error(error, request_id)
            yield event(encode(failure.body()), comments.failed("draining" if is_stopped else "error"))
        yield LAST_EVENT
