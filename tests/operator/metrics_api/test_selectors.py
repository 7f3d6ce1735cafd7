import time

import pytest

from octavo_operator.metrics_api.selectors import MAX_LENGTH, InvalidSelector, Selector

LABELS = {"serving.octavo.dev/service": "demo", "tier": "front", "size": "10", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("serving.octavo.dev/service=demo", True),
        ("serving.octavo.dev/service==demo", True),
        ("serving.octavo.dev/service=other", False),
        ("tier!=front", False),
        ("absent!=front", True),
        ("tier in (front,back)", True),
        ("tier in (back)", False),
        ("tier notin (back, side)", True),
        ("tier notin (front)", False),
        ("absent notin (front)", True),
        ("tier", True),
        ("absent", False),
        ("!absent", True),
        ("!tier", False),
        ("empty=", True),
        ("empty in ()", True),
        ("size>9", True),
        ("size>10", False),
        ("size<11", True),
        ("tier<11", False),
        ("absent>1", False),
        ("tier in (front,back),serving.octavo.dev/service=demo", True),
        ("tier in (front,back),serving.octavo.dev/service=other,size", False),
        (" tier = front , size > 1 ", True),
    ],
)
def test_a_selector_picks_by_labels_as_the_api_server_does(text: str, matches: bool) -> None:
    assert Selector.parse(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text", ["=a", "a b", "a in b", "a in (b", "a=b,", ",", "a in (b c)", "a>x", "!", "a=b=c"]
)
def test_what_is_no_selector_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidSelector, match=r"is no requirement|cannot be the value"):
        Selector.parse(text)


def test_a_selector_that_would_take_long_to_read_is_refused_with_the_limit() -> None:
    longest = "tier=front" + "," + "a" * (MAX_LENGTH - len("tier=front,"))
    assert not Selector.parse(longest).matches(LABELS)
    with pytest.raises(InvalidSelector, match=f"of {MAX_LENGTH + 1} characters .* at most {MAX_LENGTH}"):
        Selector.parse(longest + "a")
    began = time.process_time()
    for text in ("," * 1_000_000, "a " * 500_000, "a" * 1_000_000):
        with pytest.raises(InvalidSelector):
            Selector.parse(text)
    assert time.process_time() - began < 1
