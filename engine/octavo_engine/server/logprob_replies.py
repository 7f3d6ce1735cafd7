"""Log probabilities in OpenAI's two shapes: one for chat, an older one for completions."""

from collections.abc import Sequence

import msgspec

from octavo_engine.server.scored_text import ScoredToken

_LOWEST = -9999.0  # what OpenAI sends for a token that cannot be; JSON knows no infinity


class TopLogprob(msgspec.Struct, frozen=True, kw_only=True):
    token: str
    logprob: float
    bytes: list[int]


class ChatTokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """`token` has U+FFFD for what is no whole character; `bytes` has what it is."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct, frozen=True, kw_only=True):
    content: list[ChatTokenLogprob]
    refusal: None = None


class CompletionLogprobs(msgspec.Struct, frozen=True, kw_only=True):
    """Lists with one item a token. `top_logprobs` has the chosen token too, whatever its rank."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


def chat_logprobs(tokens: Sequence[ScoredToken]) -> ChatLogprobs:
    return ChatLogprobs(content=[_chat_token(token) for token in tokens])


def completion_logprobs(tokens: Sequence[ScoredToken]) -> CompletionLogprobs:
    return CompletionLogprobs(
        tokens=[_spelt(token.spelling) for token in tokens],
        token_logprobs=[_finite(token.logprob) for token in tokens],
        top_logprobs=[_alternatives(token) for token in tokens],
        text_offset=[token.text_offset for token in tokens],
    )


def _chat_token(token: ScoredToken) -> ChatTokenLogprob:
    return ChatTokenLogprob(
        token=token.spelling.decode(errors="replace"),
        logprob=_finite(token.logprob),
        bytes=list(token.spelling),
        top_logprobs=[
            TopLogprob(
                token=spelling.decode(errors="replace"), logprob=_finite(logprob), bytes=list(spelling)
            )
            for spelling, logprob in token.top
        ],
    )


def _alternatives(token: ScoredToken) -> dict[str, float]:
    best_first = {_spelt(spelling): _finite(logprob) for spelling, logprob in reversed(token.top)}
    return dict(reversed(best_first.items())) | {_spelt(token.spelling): _finite(token.logprob)}


def _spelt(spelling: bytes) -> str:
    r"""Text where it is text, else OpenAI's `bytes:\xf0\x9f`."""
    try:
        return spelling.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelling)


def _finite(logprob: float) -> float:
    return max(logprob, _LOWEST)
