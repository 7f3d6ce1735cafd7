"""One choice's text as it may be sent, and the tokens that made it with their probabilities.

A token goes out with the first piece of text that reaches past its beginning, so that no piece of a stream
has tokens of text that a stop string may still cut off.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

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


class ScoredText:
    """Fed with the messages of one choice in turn."""

    def __init__(self, codec: TextCodec, stop: StopMatcher) -> None:
        self._codec = codec
        self._detokenizer = codec.detokenizer()
        self._stop = stop
        self._num_decoded = 0
        self._num_sent = 0
        self._unsent: deque[ScoredToken] = deque()

    def feed(self, message: TokensReady, *, may_stop: bool) -> Piece:
        """What may be sent now; the last message lets all go that no stop string cuts off."""
        is_last = message.finish_reason is not None
        text = self._decode(message)
        if is_last:
            text += self._detokenizer.flush()
        if may_stop:
            text = self._stop.feed(text)
        if is_last and not self._stop.is_stopped:
            text += self._stop.flush()
        self._num_sent += len(text)
        return Piece(text=text, tokens=tuple(self._released(is_last and not self._stop.is_stopped)))

    def _decode(self, message: TokensReady) -> str:
        if not message.logprobs:
            text = self._detokenizer.feed(message.token_ids)
            self._num_decoded += len(text)
            return text
        texts = []
        for token_id, logprobs in zip(message.token_ids, message.logprobs, strict=True):
            self._unsent.append(self._scored(token_id, logprobs))
            texts.append(self._detokenizer.feed((token_id,)))
            self._num_decoded += len(texts[-1])
        return "".join(texts)

    def _scored(self, token_id: int, logprobs: TokenLogprobs) -> ScoredToken:
        return ScoredToken(
            spelling=self._codec.spelling(token_id),
            logprob=logprobs.chosen,
            top=tuple((self._codec.spelling(token), logprob) for token, logprob in logprobs.top),
            text_offset=self._num_decoded,
        )

    def _released(self, is_complete: bool) -> Iterator[ScoredToken]:
        while self._unsent and (is_complete or self._unsent[0].text_offset < self._num_sent):
            yield self._unsent.popleft()
