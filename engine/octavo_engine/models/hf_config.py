"""config.json and generation_config.json, read field by field into our own terms.

Knows both layouts of the rope fields: `rope_theta` + `rope_scaling`, and the newer `rope_parameters`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavo_engine.errors import InvalidModel, ModelNotFound
from octavo_engine.layers.rope_spec import RopeSpec, RopeType

ITEMSIZE: Mapping[str, int] = {"bfloat16": 2, "float16": 2, "float32": 4}
"""The number formats that we compute in, and their bytes."""


@dataclass(frozen=True, slots=True)
class HFConfig:
    """One JSON object with its file's name, so that every complaint says where to look."""

    path: Path
    fields: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "HFConfig":
        try:
            fields = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise ModelNotFound(
                f"{path} does not exist: a model is a folder with config.json in it"
            ) from error
        except (OSError, ValueError) as error:
            raise InvalidModel(f"{path} cannot be read as JSON: {error}") from error
        if not isinstance(fields, dict):
            raise InvalidModel(f"{path} does not hold a JSON object")
        return cls(path, fields)

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.fields.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidModel(f"{self.path}: {name} is {value!r}, but must be a positive integer")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        return _number(self.path, name, self.fields.get(name, default))

    def flag(self, name: str) -> bool:
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise InvalidModel(f"{self.path}: {name} is {value!r}, but must be true or false")
        return value

    def architecture(self) -> str:
        names = self.fields.get("architectures")
        if not isinstance(names, list) or not names or not isinstance(names[0], str):
            raise InvalidModel(f"{self.path}: architectures is {names!r}, but must name the model's class")
        return names[0]

    def dtype(self) -> str:
        name = self.fields.get("dtype") or self.fields.get("torch_dtype") or "float32"
        if not isinstance(name, str) or name not in ITEMSIZE:
            raise InvalidModel(f"{self.path}: dtype is {name!r}; supported are {', '.join(ITEMSIZE)}")
        return name

    def rope(self, head_dim: int) -> RopeSpec:
        parameters = self.fields.get("rope_parameters") or self.fields.get("rope_scaling") or {}
        if not isinstance(parameters, dict):
            raise InvalidModel(f"{self.path}: the rope parameters are {parameters!r}, but must be an object")
        theta = parameters.get("rope_theta", self.fields.get("rope_theta", 10000.0))
        name = parameters.get("rope_type", parameters.get("type", "default"))
        kind = next((kind for kind in _ROPE_FIELDS if kind == name), None)
        if kind is None:
            supported = ", ".join(_ROPE_FIELDS)
            raise InvalidModel(f"{self.path}: rope type {name!r} is not supported; supported are {supported}")
        numbers = {field: _number(self.path, field, parameters.get(field)) for field in _ROPE_FIELDS[kind]}
        context = int(numbers.pop("original_max_position_embeddings", 0))
        return RopeSpec(
            head_dim=head_dim,
            theta=_number(self.path, "rope_theta", theta),
            type=kind,
            original_max_position_embeddings=context,
            **numbers,
        )


def read_eos_token_ids(folder: Path, config: HFConfig) -> tuple[int, ...]:
    """Tokens that end a text; those that end a chat's turn are often in generation_config.json alone."""
    found = list(_token_ids(config))
    if (folder / "generation_config.json").exists():
        found += _token_ids(HFConfig.read(folder / "generation_config.json"))
    return tuple(sorted(set(found)))


def _token_ids(config: HFConfig) -> list[int]:
    value = config.fields.get("eos_token_id")
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(token_id, int) for token_id in ids):
        raise InvalidModel(f"{config.path}: eos_token_id is {value!r}, but must be token ids")
    return ids


def _number(path: Path, name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise InvalidModel(f"{path}: {name} is {value!r}, but must be a positive number")
    return float(value)


_ROPE_FIELDS: dict[RopeType, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
