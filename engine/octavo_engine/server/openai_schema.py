"""OpenAI's requests, typed: the only place where the JSON of clients becomes values of ours.

A field is honoured, refused by name (`refused_fields`) or, when nobody knows it, ignored and reported.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from octavo_engine.server.errors import BadRequest
from octavo_engine.server.limits import (
    MAX_CACHE_SALT_CHARS,
    MAX_CHOICES,
    MAX_LOGPROBS,
    MAX_PROMPTS,
    MAX_SERVED_MODEL_CHARS,
    MAX_STOP_STRING_CHARS,
    MAX_STOP_STRINGS,
    MAX_STOP_TOKENS,
)
from octavo_engine.server.refused_fields import UNDERSTOOD, refuse_unsupported
from octavo_engine.server.resume import Resume, bad_resume

MAX_INT32 = 2**31 - 1

TokenId = Annotated[int, Meta(ge=0, le=MAX_INT32)]
TokenCount = Annotated[int, Meta(ge=1, le=MAX_INT32)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
LogprobCount = Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)]
StopString = Annotated[str, Meta(min_length=1, max_length=MAX_STOP_STRING_CHARS)]


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    include_usage: bool | None = None
    continuous_usage_stats: Literal[False] | None = None


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What chat and completions share. None is "not given", as clients send both."""

    model: Annotated[str, Meta(max_length=MAX_SERVED_MODEL_CHARS)]
    max_tokens: TokenCount | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=MAX_INT32)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    # Far beyond what is of use, and near enough that no logit overflows.
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=100)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: StopString | Annotated[list[StopString], Meta(max_length=MAX_STOP_STRINGS)] | None = None
    stop_token_ids: Annotated[list[TokenId], Meta(max_length=MAX_STOP_TOKENS)] | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=MAX_INT32)] | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    priority: Annotated[int, Meta(ge=-MAX_INT32, le=MAX_INT32)] | None = None
    """Lower runs first, as in vLLM."""
    cache_salt: Annotated[str, Meta(min_length=1, max_length=MAX_CACHE_SALT_CHARS)] | None = None
    """Prompts are shared in the prefix cache with those of the same salt alone."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    octavo_resume: Resume | None = None
    """From the gateway alone: where a stream that broke on another engine goes on."""

    @property
    def num_choices(self) -> int:
        return self.n or 1

    @property
    def stop_strings(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def num_logprobs(self) -> int | None:
        """Alternatives to list beside the log probability of each token; None asks for none of all this."""
        return None

    def check(self) -> None:
        """Raise BadRequest for fields that contradict each other."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest("stream_options: only with stream=true; leave it out", param="stream_options")
        if self.octavo_resume is not None and not self.stream:
            raise bad_resume("octavo_resume: only with stream=true; send the request again without it")

    def created(self, now: float) -> int:
        """Unix seconds; a resumed stream's are those of its beginning."""
        return int(now) if self.octavo_resume is None else self.octavo_resume.created

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class TextPart(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None
    name: str | None = None

    def for_template(self) -> dict[str, str]:
        """Templates of text models expect one string; text parts become its lines."""
        content = self.content
        if isinstance(content, list):
            content = "\n".join(part.text for part in content)
        message = {"role": self.role, "content": content or ""}
        return message if self.name is None else {**message, "name": self.name}


class ChatRequest(GenerationRequest, frozen=True, kw_only=True):
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: LogprobCount | None = None

    @property
    def num_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def check(self) -> None:
        super().check()
        if self.top_logprobs and not self.logprobs:
            raise BadRequest(
                f"top_logprobs {self.top_logprobs}: only with logprobs=true; set it or leave this out",
                param="top_logprobs",
            )


TokenPrompt = Annotated[list[TokenId], Meta(min_length=1)]
# One array type, because msgspec cannot tell a union of arrays apart; `prompts` does.
PromptList = Annotated[list[str | TokenId | TokenPrompt], Meta(min_length=1)]


class CompletionRequest(GenerationRequest, frozen=True, kw_only=True):
    prompt: str | PromptList
    echo: bool | None = None
    logprobs: LogprobCount | None = None

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    def check(self) -> None:
        super().check()
        if self.echo and self.logprobs is not None:
            raise BadRequest(
                "logprobs with echo: the prompt has no log probabilities yet; leave one of the two out",
                param="logprobs",
                code="unsupported_parameter",
            )

    def prompts(self) -> list[str | list[int]]:
        """One string, several strings, one list of token ids, or several lists."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        tokens = [item for item in self.prompt if isinstance(item, int)]
        if len(tokens) == len(self.prompt):
            return [tokens]
        several = [item for item in self.prompt if not isinstance(item, int)]
        if len(several) != len(self.prompt) or len({type(item) for item in several}) > 1:
            raise BadRequest("prompt: mix of strings, tokens and lists; send one kind", param="prompt")
        if len(several) > MAX_PROMPTS:
            raise BadRequest(
                f"prompt: {len(several)} prompts in one request; send at most {MAX_PROMPTS}", param="prompt"
            )
        return several


RequestT = TypeVar("RequestT", bound=GenerationRequest)
RequestT_co = TypeVar("RequestT_co", bound=GenerationRequest, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed(Generic[RequestT_co]):
    request: RequestT_co
    ignored_fields: tuple[str, ...]


def parse_request(body: bytes, kind: type[RequestT]) -> Parsed[RequestT]:
    """Raises BadRequest, as `parse_fields` does."""
    return parse_fields(_decode_object(body), kind)


def parse_fields(fields: Mapping[str, object], kind: type[RequestT]) -> Parsed[RequestT]:
    refuse_unsupported(fields)
    try:
        request = msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _bad_field(str(error), fields) from error
    request.check()
    return Parsed(request=request, ignored_fields=_ignored(fields, kind))


def _decode_object(body: bytes) -> dict[str, object]:
    try:
        decoded = msgspec.json.decode(body)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply; send a flat OpenAI request") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "it is not UTF-8"
        raise BadRequest(f"the body is not valid JSON: {reason}") from error
    if not isinstance(decoded, dict):
        raise BadRequest("the body must be a JSON object")
    return decoded


_AT_PATH = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<path>[^`]*)`$", re.DOTALL)


def _bad_field(message: str, fields: Mapping[str, object]) -> BadRequest:
    """msgspec says "Expected `int` >= 1 - at `$.max_tokens`"; it quotes types and bounds, never values."""
    found = _AT_PATH.match(message)
    if found is None or not found["path"]:
        missing = re.search(r"required field `(\w+)`", message)
        return BadRequest(message, param=missing[1] if missing else None)
    path = found["path"]
    given = fields.get(path)
    shown = f" {given}" if isinstance(given, int | float) else ""
    return BadRequest(f"{path}{shown}: {found['what']}", param=path)


def _ignored(fields: Mapping[str, object], kind: type[GenerationRequest]) -> tuple[str, ...]:
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    return tuple(sorted(set(fields) - known - UNDERSTOOD))
