"""Finds stop strings in a text that comes in pieces, whatever borders the pieces have."""

from collections.abc import Sequence


class StopMatcher:
    """Lets text through up to the first stop string, and withholds what may become one.

    Of several stop strings the one that begins first ends the text.
    """

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self._stop_strings = tuple(stop_strings)
        self._withheld = ""
        self.is_stopped = False

    def feed(self, text: str) -> str:
        assert not self.is_stopped
        if not self._stop_strings:
            return text
        pending = self._withheld + text
        starts = [at for at in map(pending.find, self._stop_strings) if at >= 0]
        if starts:
            self.is_stopped, self._withheld = True, ""
            return pending[: min(starts)]
        kept = len(pending) - self._partial_match(pending)
        self._withheld = pending[kept:]
        return pending[:kept]

    def flush(self) -> str:
        """The text ended without a stop string: what was withheld is part of it."""
        text, self._withheld = self._withheld, ""
        return text

    def _partial_match(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        return max(
            (
                length
                for stop in self._stop_strings
                for length in range(1, min(len(stop), len(text) + 1))
                if text.endswith(stop[:length])
            ),
            default=0,
        )
