from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_fixtures import byte_fallback_tokenizer, byte_level_tokenizer
from tokenizers import Tokenizer

from octavo_engine.server.detokenizer import Detokenizer, WindowDetokenizer
from octavo_engine.server.text_codec import TextCodec

BYTE_LEVEL, BYTE_FALLBACK = byte_level_tokenizer(), byte_fallback_tokenizer()
TOKENIZERS = st.sampled_from([BYTE_LEVEL, BYTE_FALLBACK])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("🙂é日 the fox"), max_size=40)


def pieces(detokenizer: Detokenizer, token_ids: Sequence[int]) -> Iterator[str]:
    for token_id in token_ids:
        yield detokenizer.feed([token_id])
    yield detokenizer.flush()


def whole(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    return tokenizer.decode(list(token_ids), skip_special_tokens=True)


@given(TOKENIZERS, TEXTS)
def test_pieces_of_any_text_make_the_text_and_never_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    token_ids = tokenizer.encode(text).ids
    got = list(pieces(TextCodec(tokenizer).detokenizer(), token_ids))
    assert "".join(got) == whole(tokenizer, token_ids)
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in got)


@given(st.lists(st.integers(0, BYTE_LEVEL.get_vocab_size() + 3)))
def test_pieces_of_any_byte_level_tokens_make_what_decoding_them_at_once_gives(token_ids: list[int]) -> None:
    assert "".join(pieces(TextCodec(BYTE_LEVEL).detokenizer(), token_ids)) == whole(BYTE_LEVEL, token_ids)


@given(TEXTS)
def test_the_window_agrees_with_the_bytes(text: str) -> None:
    token_ids = BYTE_LEVEL.encode(text).ids
    assert "".join(pieces(WindowDetokenizer(BYTE_LEVEL), token_ids)) == whole(BYTE_LEVEL, token_ids)


@given(st.lists(st.integers(0, BYTE_FALLBACK.get_vocab_size() - 1)))
def test_noise_in_byte_fallback_tokens_never_swallows_the_words_around_it(token_ids: list[int]) -> None:
    """Which bytes of noise become U+FFFD may differ from decoding at once; the words may not."""
    detokenizer = WindowDetokenizer(BYTE_FALLBACK)
    got = iter("".join(pieces(detokenizer, token_ids)))
    words = [token for token in map(BYTE_FALLBACK.id_to_token, token_ids) if not token.startswith("<")]
    assert all(char in got for char in "".join(words).replace("▁", ""))
    assert detokenizer.flush() == ""


def test_a_character_that_bad_bytes_follow_is_sent_once() -> None:
    euro = [BYTE_FALLBACK.token_to_id(f"<0x{byte:02X}>") for byte in (0xE2, 0x82, 0xAC)]
    bad, letter = BYTE_FALLBACK.token_to_id("<0xFF>"), BYTE_FALLBACK.token_to_id("f")
    detokenizer = WindowDetokenizer(BYTE_FALLBACK)
    assert list(pieces(detokenizer, [*euro, bad, letter])) == ["", "", "€", "", "\ufffdf", ""]


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, BYTE_FALLBACK], ids=["byte-level", "byte-fallback"])
def test_an_emoji_of_several_tokens_comes_out_whole(tokenizer: Tokenizer) -> None:
    token_ids = tokenizer.encode("a🚴b").ids
    assert len(token_ids) > 3
    assert [piece for piece in pieces(TextCodec(tokenizer).detokenizer(), token_ids) if piece] == [
        "a",
        "🚴",
        "b",
    ]


def test_special_tokens_are_silent_and_added_words_are_text() -> None:
    end, added = BYTE_LEVEL.token_to_id("<|end|>"), BYTE_LEVEL.token_to_id("<日記>")
    assert "".join(pieces(TextCodec(BYTE_LEVEL).detokenizer(), [added, end])) == "<日記>"
