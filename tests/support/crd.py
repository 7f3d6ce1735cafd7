"""The CRD's schema as tests walk it. The paths are those of the YAML: spec.engine.env[].name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CRD = ROOT / "crds/inferenceservices.yaml"
Schema = dict[str, Any]


def crd() -> Schema:
    loaded: Schema = yaml.safe_load(CRD.read_text())
    return loaded


def schema() -> Schema:
    (version,) = crd()["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def walk(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node below `node` with its path; `[]` is a list's item, `{}` a map's value."""
    for name, child in node.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        yield where, child
        yield from walk(child, where)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield path + mark, node[key]
            yield from walk(node[key], path + mark)


def with_defaults(value: Any, node: Schema) -> Any:
    """What the API server stores for `value`."""
    if isinstance(value, dict):
        filled = dict(value)
        for name, child in node.get("properties", {}).items():
            if name not in filled and "default" in child:
                filled[name] = child["default"]
            if name in filled:
                filled[name] = with_defaults(filled[name], child)
        return filled
    if isinstance(value, list):
        return [with_defaults(item, node.get("items", {})) for item in value]
    return value


def sample(name: str) -> dict[str, Any]:
    """The InferenceService of manifests/samples/NAME.yaml, as if the API server had stored it."""
    documents = yaml.safe_load_all((ROOT / f"manifests/samples/{name}.yaml").read_text())
    (raw,) = (document for document in documents if document["kind"] == "InferenceService")
    raw["metadata"] = {"namespace": "default", "uid": "u-1", "generation": 1} | raw["metadata"]
    return dict(raw)
