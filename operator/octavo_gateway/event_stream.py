"""Server-sent events as an engine sends them: split where they end, with the gateway's comments taken out."""

from octavo_api.names import COMMENT_PREFIX

LAST_EVENT = b"data: [DONE]"
_END = b"\n\n"
_COMMENT = COMMENT_PREFIX.encode()


class EventSplitter:
    """Whole events of one body, however its bytes arrive. An event that breaks off is never given out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes, without the blank line that ends each."""
        if self._rest:
            searched = max(0, len(self._rest) - 1)
            self._rest += data
            if self._rest.find(_END, searched) < 0:
                return []
            data = bytes(self._rest)
        *events, rest = data.split(_END)
        self._rest = bytearray(rest)
        return events


def split_comment(event: bytes) -> tuple[bytes, bytes]:
    """The JSON of the comment that the event begins with, and what is for the client; each may be empty."""
    if not event.startswith(_COMMENT):
        return b"", event
    comment, _, rest = event.partition(b"\n")
    return comment[len(_COMMENT) :], rest


def join_events(events: list[bytes]) -> bytes:
    return _END.join(events) + _END
