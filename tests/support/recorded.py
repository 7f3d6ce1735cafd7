"""A mapping that remembers which fields were asked for, to compare a reader with a schema."""

from typing import Any


class Recorded(dict[str, Any]):
    """Asked for `spec.engine.env[].name`, `paths` has each step of it. Lists' items share one path."""

    def __init__(self, raw: dict[str, Any], path: str = "", paths: set[str] | None = None) -> None:
        self.paths: set[str] = set() if paths is None else paths
        self._path = path
        super().__init__({name: self._recorded(value, self._where(name)) for name, value in raw.items()})

    def get(self, name: str, default: Any = None) -> Any:
        self.paths.add(self._where(name))
        return super().get(name, default)

    def _where(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _recorded(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return Recorded(value, path, self.paths)
        if isinstance(value, list):
            return [self._recorded(item, path + "[]") for item in value]
        return value
