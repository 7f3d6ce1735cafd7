"""Label selectors as the API server sends them in a query, set-based ones included. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Operator = Literal["in", "notin", "exists", "absent", ">", "<"]
_KEY: Final = r"[A-Za-z0-9](?:[A-Za-z0-9./_-]*[A-Za-z0-9])?"
_VALUE: Final = r"[A-Za-z0-9._-]*"
_FORMS: Final[tuple[tuple[re.Pattern[str], Operator], ...]] = (
    (re.compile(rf"({_KEY})\s+in\s*\(([^()]*)\)"), "in"),
    (re.compile(rf"({_KEY})\s+notin\s*\(([^()]*)\)"), "notin"),
    (re.compile(rf"({_KEY})\s*==?\s*({_VALUE})"), "in"),
    (re.compile(rf"({_KEY})\s*!=\s*({_VALUE})"), "notin"),
    (re.compile(rf"({_KEY})\s*>\s*(-?\d+)"), ">"),
    (re.compile(rf"({_KEY})\s*<\s*(-?\d+)"), "<"),
    (re.compile(rf"!\s*({_KEY})"), "absent"),
    (re.compile(rf"({_KEY})"), "exists"),
)
# Commas separate requirements, except within the brackets of a set.
_COMMA: Final = re.compile(r",(?![^(]*\))")
_NUMBER: Final = re.compile(r"-?\d+")
MAX_LENGTH: Final = 2048
"""Splitting takes time that grows with the square of the length. One of an HPA has a few dozen characters."""


class InvalidSelector(ValueError):
    """The message names the part that is no requirement, or says how long it may be."""


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        """A label that is no whole number is neither greater nor less, as in the API server."""
        if value is None or not _NUMBER.fullmatch(value):
            return False
        (bound,) = map(int, self.values)
        return int(value) > bound if self.operator == ">" else int(value) < bound


@dataclass(frozen=True, slots=True)
class Selector:
    """All of the requirements; none of them: everything matches."""

    requirements: tuple[Requirement, ...] = ()

    @staticmethod
    def parse(text: str) -> "Selector":
        """Raises InvalidSelector."""
        if len(text) > MAX_LENGTH:
            raise InvalidSelector(
                f"a selector of {len(text)} characters is not read; write one of at most {MAX_LENGTH}"
            )
        parts = _COMMA.split(text) if text.strip() else []
        return Selector(tuple(_requirement(part.strip()) for part in parts))

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


def _requirement(text: str) -> Requirement:
    for form, operator in _FORMS:
        if match := form.fullmatch(text):
            return Requirement(match[1], operator, _values(match, text))
    raise InvalidSelector(
        f"{text!r} is no requirement on a label; write for example app=web or app in (a, b)"
    )


def _values(match: re.Match[str], text: str) -> frozenset[str]:
    if len(match.groups()) == 1:
        return frozenset()
    values = frozenset(value.strip() for value in match[2].split(","))
    for value in values:
        if not re.fullmatch(rf"-?{_VALUE}", value):
            raise InvalidSelector(f"{value!r} in {text!r} cannot be the value of a label")
    return values
