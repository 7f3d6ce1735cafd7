"""Which text may go out and which tokens are settled with it; a broken stream goes on as if it were whole."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from fake_engine import END_TOKEN
from hypothesis import given, settings
from hypothesis import strategies as st
from text_fixtures import byte_fallback_tokenizer, byte_level_tokenizer

from octavo_engine.messages import FinishReason, TokenLogprobs, TokensReady
from octavo_engine.server.scored_text import Piece, ScoredText
from octavo_engine.server.stop_matcher import StopMatcher
from octavo_engine.server.text_codec import TextCodec

CODECS = {"bytes": TextCodec(byte_level_tokenizer()), "fallback": TextCodec(byte_fallback_tokenizer())}
RARE = "\U00010348"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One choice: what the engine says, and how the request wants it."""

    codec: TextCodec
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stops: tuple[str, ...] = ()
    min_tokens: int = 0

    def scored_text(self) -> ScoredText:
        return ScoredText(self.codec, StopMatcher(self.stops), min_tokens=self.min_tokens)

    def pieces(self, text: ScoredText, num_known: int = 0) -> list[Piece]:
        """What is sent from there on, one piece an event."""
        sent = []
        for message in self.messages()[num_known:]:
            piece = text.feed(message)
            is_over = text.is_stopped or message.finish_reason is not None
            if piece.text or is_over:
                sent.append(piece)
            if is_over:
                break
        return sent

    def messages(self) -> list[TokensReady]:
        spoken = [
            TokensReady(
                request_id="r",
                token_ids=(token_id,),
                num_generated_tokens=number,
                logprobs=(TokenLogprobs(chosen=-float(number)),),
            )
            for number, token_id in enumerate(self.token_ids, start=1)
        ]
        if self.finish_reason == "length":
            *spoken, last = spoken
            return [*spoken, _ending(last, "length")]
        end = TokensReady(
            request_id="r", token_ids=(), num_generated_tokens=len(spoken) + 1, stop_token_id=END_TOKEN
        )
        return [*spoken, _ending(end, "stop")]


def _ending(message: TokensReady, reason: FinishReason) -> TokensReady:
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return TokensReady(**{**fields, "finish_reason": reason})


def settled(pieces: Sequence[Piece]) -> tuple[int, ...]:
    return tuple(token_id for piece in pieces for token_id in piece.settled_token_ids)


def words(codec: TextCodec, text: str) -> tuple[int, ...]:
    return codec.encode(text, add_special_tokens=False)


texts = st.text(st.sampled_from(["a", "E", "N", "D", " ", "ü", "日", "🙂", RARE]), min_size=1, max_size=14)
answers = st.builds(
    lambda name, text, noise, at, reason, stops, min_tokens: Answer(
        codec=CODECS[name],
        # Noise may break a character, which real models do as well.
        token_ids=(*(ids := words(CODECS[name], text))[:at], *noise, *ids[at:]),
        finish_reason=reason,
        stops=tuple(stops),
        min_tokens=min_tokens,
    ),
    name=st.sampled_from(sorted(CODECS)),
    text=texts,
    noise=st.lists(st.integers(0, 250), max_size=2),
    at=st.integers(0, 10),
    reason=st.sampled_from(["stop", "length"]),
    stops=st.lists(st.sampled_from(["END", "ND E", "日🙂", RARE, "aa", "EE"]), max_size=2),
    min_tokens=st.sampled_from([0, 0, 3]),
)


@settings(max_examples=300, deadline=None)
@given(answer=answers)
def test_a_stream_cut_anywhere_goes_on_to_the_same_pieces(answer: Answer) -> None:
    whole = answer.pieces(answer.scored_text())
    for cut in range(len(whole)):
        before, token_ids = whole[:cut], settled(whole[:cut])
        assert token_ids == answer.token_ids[: len(token_ids)]
        text = answer.scored_text()
        text.resume(token_ids, before[-1].num_chars if before else 0)
        assert answer.pieces(text, len(token_ids)) == whole[cut:]


@settings(max_examples=200, deadline=None)
@given(answer=answers)
def test_all_tokens_that_were_generated_are_settled_in_the_end(answer: Answer) -> None:
    text = answer.scored_text()
    pieces = answer.pieces(text)
    generated = (*answer.token_ids, *((END_TOKEN,) if answer.finish_reason == "stop" else ()))
    assert settled(pieces) == generated[: len(settled(pieces))]
    assert text.is_stopped or settled(pieces) == generated
    assert [piece.num_chars for piece in pieces] == [
        sum(len(before.text) for before in pieces[:end]) for end in range(1, len(pieces) + 1)
    ]


@settings(max_examples=100, deadline=None)
@given(answer=answers, dice=st.randoms(use_true_random=False))
def test_fewer_settled_tokens_than_were_told_are_computed_again(answer: Answer, dice: random.Random) -> None:
    whole = answer.pieces(answer.scored_text())
    cut = dice.randrange(len(whole))
    num_known = dice.randint(0, len(settled(whole[:cut])))
    text = answer.scored_text()
    text.resume(answer.token_ids[:num_known], whole[cut - 1].num_chars if cut else 0)
    again = answer.pieces(text, num_known)
    assert [replace(piece, settled_token_ids=()) for piece in again] == [
        replace(piece, settled_token_ids=()) for piece in whole[cut:]
    ]
    assert answer.token_ids[:num_known] + settled(again) == settled(whole)


def test_a_token_that_is_sent_in_part_is_not_settled() -> None:
    codec = CODECS["bytes"]
    (grosse,) = words(codec, " größere")
    answer = Answer(codec=codec, token_ids=(grosse, *words(codec, "!")), finish_reason="stop", stops=("re?",))
    first, second, last = answer.pieces(answer.scored_text())
    assert (first.text, first.settled_token_ids) == (" größe", ())
    assert (second.text, second.settled_token_ids) == ("re!", answer.token_ids)
    assert (last.text, last.settled_token_ids, last.num_chars) == ("", (END_TOKEN,), 9)


@pytest.mark.parametrize(
    ("text", "num_chars", "words_of_it"),
    [("the fox", 3, "num_chars 3 is less than its text of 7 characters"), ("the END", 9, "stop string")],
)
def test_a_resume_that_contradicts_itself_is_refused(text: str, num_chars: int, words_of_it: str) -> None:
    codec = CODECS["bytes"]
    resumed = ScoredText(codec, StopMatcher(["END"]))
    with pytest.raises(ValueError, match=words_of_it):
        resumed.resume(words(codec, text), num_chars)
