"""What a stream tells the gateway beside its events: lines that SSE calls comments, which it takes out.

With them the gateway can continue a broken stream on another engine (`resume`). A comment and the data of the
event that it stands in arrive together or not at all.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from octavo_engine.server.generation import Delta
from octavo_engine.server.openai_replies import Usage

PREFIX = ": octavo "
_PREFIX = PREFIX.encode()

Failure = Literal["draining", "error"]


class _Start(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    created: int
    seeds: Sequence[int]
    exactness: str


class _Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of choice `i` the token ids `t` are settled now, and `c` characters sent; `f`: it is finished."""

    i: int
    t: tuple[int, ...]
    c: int
    f: bool = False


class _Usage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class GatewayComments:
    """Each method gives a whole line, or nothing where the caller wants no comments."""

    def __init__(self, *, are_wanted: bool) -> None:
        self._are_wanted = are_wanted
        self._encode = msgspec.json.Encoder().encode

    def start(
        self, *, prompt_tokens: int, created: int, seeds: Sequence[int | None], exactness: str
    ) -> bytes:
        """Before all else. Every seed is known: the server has drawn those that the request lacks."""
        if not self._are_wanted:
            return b""
        known = [seed for seed in seeds if seed is not None]
        assert len(known) == len(seeds)
        started = _Start(prompt_tokens=prompt_tokens, created=created, seeds=known, exactness=exactness)
        return self._line({"start": started})

    def sent(self, delta: Delta) -> bytes:
        """In the event that sends the delta."""
        if not self._are_wanted:
            return b""
        is_finished = delta.finish_reason is not None
        return self._line(_Sent(i=delta.index, t=delta.settled_token_ids, c=delta.num_chars, f=is_finished))

    def usage(self, usage: Usage) -> bytes:
        """After it only [DONE] is missing."""
        if not self._are_wanted:
            return b""
        counts = _Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.prompt_tokens_details.cached_tokens,
        )
        return self._line({"usage": counts})

    def failed(self, failure: Failure) -> bytes:
        """In the error event: this engine gives up, another one may not."""
        return self._line({"failed": failure}) if self._are_wanted else b""

    def _line(self, value: object) -> bytes:
        return _PREFIX + self._encode(value) + b"\n"
