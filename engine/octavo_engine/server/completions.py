"""/v1/completions: text or tokens in, their continuation out."""

import time
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from octavo_engine.server.answering import Answering, FinishedChoice
from octavo_engine.server.client_connection import read_body
from octavo_engine.server.generation import Delta
from octavo_engine.server.logprob_replies import CompletionLogprobs, completion_logprobs
from octavo_engine.server.openai_replies import CompletionChoice, CompletionReply, Usage
from octavo_engine.server.openai_schema import CompletionRequest, parse_request
from octavo_engine.server.request_planning import Prompt
from octavo_engine.server.scored_text import ScoredToken
from octavo_engine.server.served_model import ServedModel

DEFAULT_MAX_TOKENS = 16  # OpenAI's


async def completions(http: Request, answering: Answering) -> Response:
    body = await read_body(http)
    parsed = await answering.off_loop(parse_request, body, CompletionRequest)
    request = parsed.request
    answering.model.check_name(request.model)
    prompts = await answering.off_loop(encode_prompts, answering.model, request)
    max_tokens = request.max_tokens or DEFAULT_MAX_TOKENS
    choices = answering.plan(http, parsed, prompts, max_tokens)
    return await answering.answer(http, parsed, choices, CompletionFormat(http.state.request_id, request))


def encode_prompts(model: ServedModel, request: CompletionRequest) -> list[Prompt]:
    return [_encode_prompt(model, prompt, bool(request.echo)) for prompt in request.prompts()]


def _encode_prompt(model: ServedModel, prompt: str | list[int], is_echoed: bool) -> Prompt:
    if isinstance(prompt, str):
        token_ids = model.codec.encode(prompt, add_special_tokens=True)
        return Prompt(token_ids=token_ids, echo_text=prompt if is_echoed else "")
    return Prompt(token_ids=tuple(prompt), echo_text=model.codec.decode(prompt) if is_echoed else "")


class CompletionFormat:
    """Implements `ReplyFormat`."""

    def __init__(self, request_id: str, request: CompletionRequest) -> None:
        self._id = f"cmpl-{request_id}"
        self.created = request.created(time.time())
        self._model = request.model
        self._no_usage = None if request.includes_usage else msgspec.UNSET
        self._has_logprobs = request.num_logprobs is not None

    def chunk(self, delta: Delta) -> CompletionReply:
        choice = CompletionChoice(
            index=delta.index,
            text=delta.text,
            finish_reason=delta.finish_reason,
            logprobs=self._logprobs(delta.tokens),
        )
        return self._reply([choice], self._no_usage)

    def usage_chunk(self, usage: Usage) -> CompletionReply:
        return self._reply([], usage)

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage) -> CompletionReply:
        return self._reply(
            [
                CompletionChoice(
                    index=choice.index,
                    text=choice.text,
                    finish_reason=choice.finish_reason,
                    logprobs=self._logprobs(choice.tokens),
                )
                for choice in choices
            ],
            usage,
        )

    def _logprobs(self, tokens: Sequence[ScoredToken]) -> CompletionLogprobs | None:
        return completion_logprobs(tokens) if self._has_logprobs else None

    def _reply(
        self, choices: list[CompletionChoice], usage: Usage | msgspec.UnsetType | None
    ) -> CompletionReply:
        return CompletionReply(
            id=self._id, created=self.created, model=self._model, choices=choices, usage=usage
        )
