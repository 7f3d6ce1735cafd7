from hypothesis import given
from hypothesis import strategies as st

from octavo_gateway.event_stream import EventSplitter, join_events, split_comment

EVENTS = [
    b'data: {"a":"\\n\\n"}',
    b': octavo {"i":0}\ndata: {"b":1}',
    b': octavo {"usage":{}}',
    b"data: [DONE]",
]


@given(cuts=st.lists(st.integers(0, len(join_events(EVENTS))), max_size=12))
def test_events_come_whole_however_their_bytes_arrive(cuts: list[int]) -> None:
    body = join_events(EVENTS)
    ends = [*sorted(cuts), len(body)]
    splitter = EventSplitter()
    events = []
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        events += splitter.feed(body[begin:end])
    assert events == EVENTS


def test_an_event_that_breaks_off_is_not_given_out() -> None:
    assert EventSplitter().feed(b"data: 1\n\ndata: 2\n") == [b"data: 1"]


def test_the_gateways_comment_is_told_from_what_is_for_the_client() -> None:
    assert split_comment(b': octavo {"i":0}\ndata: x') == (b'{"i":0}', b"data: x")
    assert split_comment(b': octavo {"i":0}') == (b'{"i":0}', b"")
    assert split_comment(b"data: : octavo {}") == (b"", b"data: : octavo {}")
    assert split_comment(b": ping") == (b"", b": ping")
