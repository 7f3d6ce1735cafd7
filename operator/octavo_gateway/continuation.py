"""What a stream has said so far, and the request that goes on from there on another replica. Pure."""

from array import array

import msgspec

from octavo_api.names import FIELD_RESUME


class Start(msgspec.Struct, frozen=True):
    prompt_tokens: int
    created: int
    seeds: list[int]
    """One a choice, drawn by the engine where the request has none."""
    exactness: str
    """Engines that say the same give the same bits; "" promises none."""


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int


class _Comment(msgspec.Struct, frozen=True):
    """The JSON of any comment. `i`, `t`, `c`, `f`: a choice, its tokens sent, its characters, its end."""

    start: Start | None = None
    i: int = -1
    t: list[int] = []
    c: int = 0
    f: bool = False
    usage: Usage | None = None
    failed: str | None = None


class _Choice:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.token_ids = array("i")  # four bytes a token, however long the stream
        self.num_chars = 0
        self.finished = False

    def resume(self) -> dict[str, object]:
        return {
            "seed": self.seed,
            "token_ids": self.token_ids.tolist(),
            "num_chars": self.num_chars,
            "finished": self.finished,
        }


_decode = msgspec.json.Decoder(_Comment).decode


class StreamProgress:
    """Folds the comments of a stream, continuations included."""

    def __init__(self) -> None:
        self.start: Start | None = None
        self.usage: Usage | None = None
        self.failed: str | None = None
        """Why the engine itself gave the request up, by its last word."""
        self.num_tokens = 0
        """Of all choices, sent to the client."""
        self._choices: list[_Choice] = []

    def note(self, comment: bytes) -> None:
        """Raises msgspec.DecodeError or IndexError for what no engine of ours says."""
        said = _decode(comment)
        if said.i >= 0:
            choice = self._choices[said.i]
            choice.token_ids.extend(said.t)
            choice.num_chars = said.c
            choice.finished = said.f
            self.num_tokens += len(said.t)
        elif said.start is not None:
            if self.start is None:
                self._choices = [_Choice(seed) for seed in said.start.seeds]
                self.start = said.start
            self.failed = None
        self.usage = said.usage or self.usage
        self.failed = said.failed or self.failed

    @property
    def is_resumable(self) -> bool:
        return self.start is not None and bool(self.start.exactness)

    def resume_body(self, body: bytes) -> bytes:
        """The client's own body, byte for byte, with the trusted field added at its end."""
        assert self.start is not None
        field = {
            FIELD_RESUME: {
                "created": self.start.created,
                "exactness": self.start.exactness,
                "choices": [choice.resume() for choice in self._choices],
            }
        }
        head = body.rstrip()
        assert head.endswith(b"}"), "the body was parsed as an object that has a model"
        return head[:-1] + b"," + msgspec.json.encode(field)[1:]


class _Reply(msgspec.Struct):
    usage: Usage | None = None


def usage_of(body: bytes) -> Usage | None:
    """Of a whole answer, where it tells."""
    try:
        return msgspec.json.decode(body, type=_Reply).usage
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
