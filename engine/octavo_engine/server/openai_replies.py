"""OpenAI's answers, typed; encoded as they stand."""

from typing import Literal

import msgspec

from octavo_engine.server.logprob_replies import ChatLogprobs, CompletionLogprobs

ReplyFinishReason = Literal["stop", "length"]


class PromptTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    cached_tokens: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class ChatReplyMessage(msgspec.Struct, frozen=True, kw_only=True):
    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ChatChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    message: ChatReplyMessage
    finish_reason: ReplyFinishReason
    logprobs: ChatLogprobs | None = None


class ChatReply(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"


class ChatDelta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    delta: ChatDelta
    finish_reason: ReplyFinishReason | None = None
    logprobs: ChatLogprobs | None = None


class ChatChunk(msgspec.Struct, frozen=True, kw_only=True):
    """`usage` is absent unless asked for; then it is null in every chunk but the last."""

    id: str
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"


class CompletionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Of a whole answer, or of one chunk of a stream."""

    index: int
    text: str
    finish_reason: ReplyFinishReason | None
    logprobs: CompletionLogprobs | None = None


class CompletionReply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, or one chunk of a stream (`usage` then as in `ChatChunk`)."""

    id: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET
    object: Literal["text_completion"] = "text_completion"


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: int
    max_model_len: int
    object: Literal["model"] = "model"
    owned_by: Literal["octavo"] = "octavo"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[ModelCard]
    object: Literal["list"] = "list"
