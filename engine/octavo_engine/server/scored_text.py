"""One choice's text as it may be sent, and the tokens that made it with their probabilities.

A token goes out with the first piece of text that reaches past its beginning, so that no piece of a stream
has tokens of text that a stop string may still cut off. It is *settled* with the first piece that reaches its
end: then nothing of it is left to send, and a broken stream can go on behind it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from octavo_engine.messages import TokenLogprobs, TokensReady
from octavo_engine.server.stop_matcher import StopMatcher
from octavo_engine.server.text_codec import TextCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredToken:
    spelling: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...]
    text_offset: int
    """Characters of the choice's text before it; a token within a character counts from that character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    text: str
    tokens: tuple[ScoredToken, ...] = ()
    settled_token_ids: tuple[int, ...] = ()
    """Those that `text` completes. With the last piece all that were generated, the stop token too."""
    num_chars: int = 0
    """Characters of the choice's text sent with this piece and before."""


_NOTHING = Piece(text="")


class _Span(NamedTuple):
    """Where a token's text lies in the choice's."""

    token_id: int
    start: int
    end: int


class ScoredText:
    """Fed with the messages of one choice in turn."""

    def __init__(self, codec: TextCodec, stop: StopMatcher, *, min_tokens: int = 0) -> None:
        self._codec = codec
        self._detokenizer = codec.detokenizer()
        self._stop = stop
        self._min_tokens = min_tokens
        self._num_decoded = 0
        self._num_passed = 0
        """Characters that no stop string can cut off any more."""
        self._num_sent = 0
        """The same, save after `resume`: more went out before than the settled tokens make."""
        self._num_resumed = 0
        self._unsent: deque[ScoredToken] = deque()
        self._unsettled: deque[_Span] = deque()

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_stopped

    def resume(self, token_ids: Sequence[int], num_chars: int) -> None:
        """Go on where a stream broke: behind its settled tokens, with `num_chars` characters sent.

        Raises ValueError where the two contradict each other.
        """
        for number, token_id in enumerate(token_ids, start=1):
            self._num_passed += len(self._pass(self._decode(token_id), may_stop=number > self._min_tokens))
            if self.is_stopped:
                raise ValueError("there is a stop string in its text, so it is finished")
        if num_chars < self._num_decoded:
            raise ValueError(f"num_chars {num_chars} is less than its text of {self._num_decoded} characters")
        self._num_sent = self._num_resumed = num_chars

    def feed(self, message: TokensReady) -> Piece:
        """What may be sent now; the last message lets all go that no stop string cuts off."""
        is_last = message.finish_reason is not None
        text = "".join(self._taken(message))
        if is_last:
            text += self._detokenizer.flush()
        text = self._pass(text, may_stop=message.num_generated_tokens > self._min_tokens)
        if is_last and not self.is_stopped:
            text += self._stop.flush()
        new = text[max(0, self._num_sent - self._num_passed) :]
        self._num_passed += len(text)
        is_over = is_last or self.is_stopped
        if not new and not is_over:
            return _NOTHING
        self._num_sent += len(new)
        return Piece(
            text=new,
            tokens=tuple(self._released(is_last and not self.is_stopped)),
            settled_token_ids=(*self._settled(is_over), *_stop_token(message)),
            num_chars=self._num_sent,
        )

    def _taken(self, message: TokensReady) -> Iterator[str]:
        for number, token_id in enumerate(message.token_ids):
            start = self._num_decoded
            yield self._decode(token_id)
            self._unsettled.append(_Span(token_id, start, self._num_decoded))
            if message.logprobs and start >= self._num_resumed:
                self._unsent.append(self._scored(token_id, message.logprobs[number], start))

    def _decode(self, token_id: int) -> str:
        text = self._detokenizer.feed((token_id,))
        self._num_decoded += len(text)
        return text

    def _pass(self, text: str, *, may_stop: bool) -> str:
        return self._stop.feed(text) if may_stop else text

    def _scored(self, token_id: int, logprobs: TokenLogprobs, start: int) -> ScoredToken:
        return ScoredToken(
            spelling=self._codec.spelling(token_id),
            logprob=logprobs.chosen,
            top=tuple((self._codec.spelling(token), logprob) for token, logprob in logprobs.top),
            text_offset=start,
        )

    def _released(self, is_complete: bool) -> Iterator[ScoredToken]:
        while self._unsent and (is_complete or self._unsent[0].text_offset < self._num_sent):
            yield self._unsent.popleft()

    def _settled(self, is_over: bool) -> Iterator[int]:
        sent, waiting = self._num_sent, self._unsettled
        while waiting and (is_over or (waiting[0].start < sent and waiting[0].end <= sent)):
            yield waiting.popleft().token_id


def _stop_token(message: TokensReady) -> tuple[int, ...]:
    return () if message.stop_token_id is None else (message.stop_token_id,)
