import itertools

from hypothesis import given
from hypothesis import strategies as st

from octavo_engine.server.stop_matcher import StopMatcher

ALPHABET = st.text(alphabet="abé🙂", max_size=30)
STOPS = st.lists(st.text(alphabet="abé🙂", min_size=1, max_size=4), max_size=3)


def pieces_of(text: str, borders: list[int]) -> list[str]:
    cuts = sorted({0, len(text), *(border % (len(text) + 1) for border in borders)})
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


@given(ALPHABET, STOPS, st.lists(st.integers(0, 30)))
def test_text_ends_before_the_first_stop_string_however_it_is_cut(
    text: str, stops: list[str], borders: list[int]
) -> None:
    matcher, sent = StopMatcher(stops), ""
    for piece in pieces_of(text, borders):
        sent += matcher.feed(piece)
        if matcher.is_stopped:
            break
    sent += "" if matcher.is_stopped else matcher.flush()
    begins = [at for at in map(text.find, stops) if at >= 0]
    # Fed piece by piece, the stop string that is complete first ends the text.
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    if not begins:
        assert sent == text
    else:
        assert matcher.is_stopped
        assert len(sent) <= min(ends)
        assert text.startswith(sent)
        assert any(text.startswith(sent + stop) for stop in stops)


def test_only_what_may_become_a_stop_string_is_withheld() -> None:
    matcher = StopMatcher(["END", "E!"])
    assert [matcher.feed(piece) for piece in ("abE", "N", "x", "E", "N", "D rest")] == [
        "ab",
        "",
        "ENx",
        "",
        "",
        "",
    ]
    assert matcher.is_stopped


def test_an_unfinished_stop_string_at_the_end_is_text() -> None:
    matcher = StopMatcher(["STOP"])
    assert matcher.feed("go STO") + matcher.flush() == "go STO"


def test_of_two_stop_strings_in_one_piece_the_earlier_one_counts() -> None:
    assert StopMatcher(["late", "early"]).feed("an early and a late one") == "an "
