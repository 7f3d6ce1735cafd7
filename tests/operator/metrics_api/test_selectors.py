import pytest

from octavo_operator.metrics_api.selectors import InvalidSelector, Selector

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
