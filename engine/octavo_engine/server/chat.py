"""/v1/chat/completions: a conversation in, the assistant's next words out."""

import time
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from octavo_engine.server.answering import Answering, FinishedChoice
from octavo_engine.server.client_connection import read_body
from octavo_engine.server.errors import BadRequest
from octavo_engine.server.generation import Delta
from octavo_engine.server.logprob_replies import ChatLogprobs, chat_logprobs
from octavo_engine.server.openai_replies import (
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    ChatReply,
    ChatReplyMessage,
    Usage,
)
from octavo_engine.server.openai_schema import ChatRequest, parse_request
from octavo_engine.server.request_planning import Prompt
from octavo_engine.server.scored_text import ScoredToken
from octavo_engine.server.served_model import ServedModel


async def chat_completions(http: Request, answering: Answering) -> Response:
    body = await read_body(http)
    parsed = await answering.off_loop(parse_request, body, ChatRequest)
    request = parsed.request
    answering.model.check_name(request.model)
    prompt = await answering.off_loop(render_prompt, answering.model, request)
    max_tokens = request.max_completion_tokens or request.max_tokens
    choices = answering.plan(http, parsed, [prompt], max_tokens)
    return await answering.answer(http, parsed, choices, ChatFormat(http.state.request_id, request))


def render_prompt(model: ServedModel, request: ChatRequest) -> Prompt:
    if model.chat_template is None:
        raise BadRequest(
            "this model has no chat template; use /v1/completions, or add a chat_template.jinja to the model",
            param="messages",
            code="no_chat_template",
        )
    text = model.chat_template.render([message.for_template() for message in request.messages])
    # The template writes the special tokens itself.
    return Prompt(token_ids=model.codec.encode(text, add_special_tokens=False))


class ChatFormat:
    """Implements `ReplyFormat`."""

    def __init__(self, request_id: str, request: ChatRequest) -> None:
        self._id = f"chatcmpl-{request_id}"
        self.created = request.created(time.time())
        self._model = request.model
        self._no_usage = None if request.includes_usage else msgspec.UNSET
        self._has_logprobs = request.num_logprobs is not None

    def chunk(self, delta: Delta) -> ChatChunk:
        """The role goes with the first words: a stream that breaks has sent both or neither."""
        if delta.is_first:
            words = ChatDelta(role="assistant", content=delta.text)
        else:
            words = ChatDelta(content=delta.text or None)
        return self._chunk(
            [
                ChatChunkChoice(
                    index=delta.index,
                    delta=words,
                    finish_reason=delta.finish_reason,
                    logprobs=self._logprobs(delta.tokens),
                )
            ]
        )

    def usage_chunk(self, usage: Usage) -> ChatChunk:
        return ChatChunk(id=self._id, created=self.created, model=self._model, choices=[], usage=usage)

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage) -> ChatReply:
        return ChatReply(
            id=self._id,
            created=self.created,
            model=self._model,
            choices=[
                ChatChoice(
                    index=choice.index,
                    message=ChatReplyMessage(content=choice.text),
                    finish_reason=choice.finish_reason,
                    logprobs=self._logprobs(choice.tokens),
                )
                for choice in choices
            ],
            usage=usage,
        )

    def _logprobs(self, tokens: Sequence[ScoredToken]) -> ChatLogprobs | None:
        return chat_logprobs(tokens) if self._has_logprobs else None

    def _chunk(self, choices: list[ChatChunkChoice]) -> ChatChunk:
        return ChatChunk(
            id=self._id, created=self.created, model=self._model, choices=choices, usage=self._no_usage
        )
