"""The few fields of a client's request that the gateway itself needs; the engine checks all others."""

from dataclasses import dataclass
from typing import Any

import msgspec

from octavo_api.names import FIELD_RESUME
from octavo_gateway.errors import BadRequest
from octavo_gateway.routing import Cost

_PREFIX_BYTES = 1024
"""Longer than most system prompts, so that conversations spread over replicas; short of long shared ones."""
_BYTES_PER_TOKEN = 4
_ASSUMED_COMPLETION_TOKENS = 1024
_COMPLETIONS_DEFAULT = 16  # OpenAI's, where a completion names no max_tokens
_MOST_TOKENS = 2**31  # no model has so long a context, and a larger number would drown a bucket's fractions
_NOTHING = msgspec.Raw(b"")


class _Fields(msgspec.Struct, frozen=True):
    model: str
    stream: bool | None = None
    messages: msgspec.Raw = _NOTHING
    prompt: msgspec.Raw = _NOTHING
    max_tokens: Any = None
    max_completion_tokens: Any = None
    n: Any = None
    octavo_resume: msgspec.Raw = _NOTHING


assert FIELD_RESUME in _Fields.__struct_fields__
_decode = msgspec.json.Decoder(_Fields).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBody:
    raw: bytes
    model: str
    is_stream: bool
    prefix: bytes
    """The beginning of the prompt as it stands in the JSON: what prefix affinity hashes."""
    cost: Cost


def parse_body(raw: bytes) -> RequestBody:
    """Raises BadRequest for what is no JSON object, has no model, or pretends to be the gateway."""
    try:
        fields = _decode(raw)
    except RecursionError:
        raise BadRequest("the body is nested too deeply; send a flatter one") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The decoder's words name positions, types and fields, never values.
        raise BadRequest(f"the body is not a request in JSON: {error}") from None
    if bytes(fields.octavo_resume):
        raise BadRequest(f"{FIELD_RESUME}: only for the gateway itself; leave it out", param=FIELD_RESUME)
    prompt = bytes(fields.messages) or bytes(fields.prompt)
    return RequestBody(
        raw=raw,
        model=fields.model,
        is_stream=bool(fields.stream),
        prefix=prompt[:_PREFIX_BYTES],
        cost=Cost(
            prompt_tokens=len(prompt) // _BYTES_PER_TOKEN,
            completion_tokens=_completion_tokens(fields),
        ),
    )


def _completion_tokens(fields: _Fields) -> int:
    default = _COMPLETIONS_DEFAULT if bytes(fields.prompt) else _ASSUMED_COMPLETION_TOKENS
    most = _count(fields.max_completion_tokens) or _count(fields.max_tokens) or default
    return min(most * (_count(fields.n) or 1), _MOST_TOKENS)


def _count(value: object) -> int:
    """0 for what the engine is going to refuse."""
    return value if isinstance(value, int) and value > 0 else 0
