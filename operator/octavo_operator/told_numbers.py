"""Numbers in what a gateway's pod says, within bounds that every reckoning with them survives. Pure.

JSON's own numbers have none: a count of 400 digits divides into no float, and infinite seconds are no time.
"""

from typing import Any

MOST = 2**53
LONGEST_SECONDS = 1e9
"""30 years: no gateway has run for longer, and every date less so much is a date."""


def whole(value: Any) -> int:
    """A count. Raises TypeError or ValueError for what is none."""
    return int(_within(value, MOST))


def seconds(value: Any) -> float:
    """Raises TypeError or ValueError for what is no length of time."""
    return float(_within(value, LONGEST_SECONDS))


def _within(value: Any, most: float) -> int | float:
    if not isinstance(value, int | float):
        raise TypeError(f"{type(value).__name__} is no number")
    # Not a number is in no range either.
    if not 0 <= value <= most:
        raise ValueError(f"a number is not between 0 and {most:.0f}")
    return value
