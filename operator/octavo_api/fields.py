"""Reading one level of an untyped object, remembering where in the YAML it stands.

The API server has checked the schema and filled in the defaults; what this refuses got past it, for example
through an older CRD.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from octavo_api.errors import InvalidSpec

Json = Mapping[str, Any]
T = TypeVar("T")


class Fields:
    """The fields of one object at `path`. An absent field, and null, read as None."""

    __slots__ = ("_path", "_raw")

    def __init__(self, raw: Json, path: str = "") -> None:
        self._raw = raw
        self._path = path

    def where(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def has(self, name: str) -> bool:
        return self._raw.get(name) is not None

    def text(self, name: str) -> str | None:
        value = self._raw.get(name)
        return (
            value if value is None or isinstance(value, str) else self._refuse(name, value, "write a string")
        )

    def required_text(self, name: str) -> str:
        return self.text(name) or self._refuse(name, self._raw.get(name), "is required; set it")

    def integer(self, name: str, default: int) -> int:
        value = self.optional_integer(name)
        return default if value is None else value

    def optional_integer(self, name: str) -> int | None:
        value = self._raw.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self._refuse(name, value, "write an integer")

    def required_integer(self, name: str) -> int:
        value = self.optional_integer(name)
        return self._refuse(name, value, "is required; set it") if value is None else value

    def boolean(self, name: str, default: bool) -> bool:
        value = self._raw.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._refuse(name, value, "write true or false")

    def quantity_text(self, name: str) -> str | None:
        """A quantity as text; YAML's bare numbers are quantities too."""
        value = self._raw.get(name)
        return str(value) if isinstance(value, (int, float)) else self.text(name)

    def choice(self, name: str, choices: Mapping[str, T], default: T) -> T:
        value = self.text(name)
        if value is None:
            return default
        return (
            choices[value]
            if value in choices
            else self._refuse(name, value, f"choose one of {', '.join(choices)}")
        )

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._raw.get(name) or ()
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
            self._refuse(name, values, "write a list of strings")
        return tuple(values)

    def text_map(self, name: str) -> dict[str, str]:
        return {key: str(value) for key, value in self.json(name).items()}

    def json(self, name: str) -> Json:
        """An object kept as it is, for fields that Kubernetes itself understands and checks."""
        value = self._raw.get(name) or {}
        return value if isinstance(value, Mapping) else self._refuse(name, value, "write an object")

    def jsons(self, name: str) -> tuple[Json, ...]:
        values = self._raw.get(name) or ()
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, Mapping) for value in values):
            self._refuse(name, values, "write a list of objects")
        return tuple(values)

    def part(self, name: str) -> "Fields":
        """The fields of a nested object; an absent one reads as empty."""
        return Fields(self.json(name), self.where(name))

    def parts(self, name: str) -> Iterator["Fields"]:
        for index, raw in enumerate(self.jsons(name)):
            yield Fields(raw, f"{self.where(name)}[{index}]")

    def _refuse(self, name: str, value: object, remedy: str) -> NoReturn:
        raise InvalidSpec(self.where(name), value, remedy)
