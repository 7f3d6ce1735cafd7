"""One rule of the CRD with specs on both sides of it, and short ways to write such specs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HUB = "hf://org/name"


@dataclass(frozen=True)
class Rule:
    """Specs on both sides of one rule; `says` is part of the message that the bad ones get."""

    says: str
    good: tuple[Mapping[str, Any], ...]
    bad: tuple[Mapping[str, Any], ...]


def model(uri: str = HUB, **fields: Any) -> dict[str, Any]:
    return {"model": {"uri": uri, **fields}}


def engine(**fields: Any) -> dict[str, Any]:
    return model() | {"engine": fields}


def args(*values: str) -> dict[str, Any]:
    return engine(extraArgs=list(values))


def env(**fields: Any) -> dict[str, Any]:
    return engine(env=[{"name": "LEVEL", **fields}])


def spec(**fields: Any) -> dict[str, Any]:
    return model() | fields
