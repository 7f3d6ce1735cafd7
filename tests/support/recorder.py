"""A manifest that remembers which of its fields were asked for."""

from collections.abc import Callable
from typing import Any

Path = tuple[str, ...]


def fields_read(raw: dict[str, Any], read: Callable[[Any], object]) -> set[Path]:
    """The paths that `read` asks for, there or not; "*" stands for every element of a list."""
    asked: set[Path] = set()
    read(_Recorder(raw, asked, ()))
    return asked


def fields_of(value: Any, at: Path = ()) -> set[Path]:
    """The paths that a manifest has."""
    if isinstance(value, dict):
        own = {(*at, name) for name in value}
        return own.union(*(fields_of(item, (*at, name)) for name, item in value.items()))
    if isinstance(value, list):
        return set().union(*(fields_of(item, (*at, "*")) for item in value))
    return set()


class _Recorder(dict[str, Any]):
    def __init__(self, raw: dict[str, Any], asked: set[Path], at: Path) -> None:
        super().__init__({name: _recording(value, asked, (*at, name)) for name, value in raw.items()})
        self._asked = asked
        self._at = at

    def __getitem__(self, name: str) -> Any:
        self._asked.add((*self._at, name))
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._asked.add((*self._at, name))
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._asked.add((*self._at, str(name)))
        return super().__contains__(name)


def _recording(value: Any, asked: set[Path], at: Path) -> Any:
    if isinstance(value, dict):
        return _Recorder(value, asked, at)
    if isinstance(value, list):
        return [_recording(item, asked, (*at, "*")) for item in value]
    return value
