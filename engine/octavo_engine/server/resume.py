"""A stream that broke on another engine goes on here: the gateway says in `octavo_resume` how far it came."""

from typing import Annotated

import msgspec
from msgspec import Meta

from octavo_engine.messages import EngineInfo
from octavo_engine.server.errors import BadRequest, NotResumable

FIELD = "octavo_resume"
_MAX_INT32 = 2**31 - 1
_MAX_INT63 = 2**63 - 1


class ResumedChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Of one choice, what the client has."""

    seed: Annotated[int, Meta(ge=0, le=_MAX_INT63)]
    token_ids: tuple[Annotated[int, Meta(ge=0, le=_MAX_INT32)], ...]
    """The settled tokens; a finished choice's are all that it generated, its stop token included."""
    num_chars: Annotated[int, Meta(ge=0, le=_MAX_INT63)]
    """Characters of its text that were sent, without an echoed prompt's."""
    finished: bool


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    created: Annotated[int, Meta(ge=0, le=_MAX_INT63)]
    """Unix seconds that the stream's chunks bear."""
    exactness: Annotated[str, Meta(max_length=256)]
    choices: tuple[ResumedChoice, ...]


def check_resumable(resume: Resume, info: EngineInfo) -> None:
    """Raises NotResumable where this engine's tokens may differ from those of the engine that began."""
    if not info.exactness:
        raise NotResumable("this engine promises no exact tokens, so it cannot go on with another's stream")
    if resume.exactness != info.exactness:
        raise NotResumable(
            "the stream began on an engine with another model, version or processor; "
            "its tokens may differ from this engine's"
        )


def check_choice(resumed: ResumedChoice, index: int, max_tokens: int, info: EngineInfo) -> None:
    """Raises BadRequest for what no stream of this request can have come to."""
    num_tokens, where = len(resumed.token_ids), f"{FIELD}.choices[{index}]"
    if max(resumed.token_ids, default=0) >= info.vocab_size:
        raise bad_resume(
            f"{where}.token_ids: token {max(resumed.token_ids)} is outside the vocabulary of "
            f"{info.vocab_size} tokens"
        )
    most = max_tokens if resumed.finished else max_tokens - 1
    if num_tokens > most:
        raise bad_resume(f"{where}.token_ids: {num_tokens} tokens; max_tokens {max_tokens} allows {most}")


def bad_resume(message: str) -> BadRequest:
    return BadRequest(message, param=FIELD)
