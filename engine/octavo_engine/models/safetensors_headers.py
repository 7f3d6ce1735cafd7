"""Names, shapes and number formats of a checkpoint's tensors, read from the heads of its files.

Neither weights nor PyTorch are needed: a header is a length and that many bytes of JSON.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from octavo_engine.errors import InvalidModel
from octavo_engine.models.tensor_shapes import Shape

SINGLE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
FLOATING_POINT = frozenset({"F64", "F32", "F16", "BF16"})
"""Formats of weights that are not quantized, as safetensors calls them."""
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    file: str
    dtype: str
    shape: Shape
    num_bytes: int


Headers = Mapping[str, TensorHeader]


def weight_files(folder: Path) -> tuple[str, ...]:
    """The files that hold the weights, whether or not they are here: from the index where there is one."""
    index = folder / INDEX_FILE
    if not index.exists():
        return (SINGLE_FILE,)
    try:
        return tuple(
            sorted({Path(file).name for file in json.loads(index.read_text())["weight_map"].values()})
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModel(f"{index} is not an index of safetensors files: {error!r}") from error


def read_headers(folder: Path, files: Iterable[str]) -> Headers:
    headers: dict[str, TensorHeader] = {}
    for name in files:
        headers |= _read_file(folder / name)
    return headers


def _read_file(path: Path) -> Headers:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"its header claims {length} bytes")
            tensors = json.loads(file.read(length))
        headers = {
            name: tensor_header(path.name, entry["dtype"], entry["shape"], entry["data_offsets"])
            for name, entry in tensors.items()
            if name != "__metadata__"
        }
        missing = 8 + length + sum(header.num_bytes for header in headers.values()) - path.stat().st_size
        if missing > 0:
            raise ValueError(f"it ends {missing} bytes too early")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise InvalidModel(
            f"{path} is not a readable safetensors file: {error}; fetch the model again"
        ) from error
    return headers


def tensor_header(file: str, dtype: str, shape: Iterable[int], offsets: Iterable[int]) -> TensorHeader:
    start, end = offsets
    return TensorHeader(file=file, dtype=dtype, shape=tuple(shape), num_bytes=end - start)


def check_tensors(wanted: Mapping[str, Shape], headers: Headers) -> None:
    """Raises InvalidModel where loading would fail for a tensor's name, shape or format."""
    missing = [name for name in wanted if name not in headers]
    if missing:
        raise InvalidModel(
            f"the checkpoint has no tensor {_listed(missing)}; it does not belong to its config.json"
        )
    for name, shape in wanted.items():
        header = headers[name]
        if header.shape != shape:
            raise InvalidModel(
                f"{header.file}: tensor {name} has shape {list(header.shape)}, "
                f"but config.json wants {list(shape)}; it does not belong to its config.json"
            )
    quantized = [name for name in wanted if headers[name].dtype not in FLOATING_POINT]
    if quantized:
        raise InvalidModel(
            f"tensor {_listed(quantized)} is stored as {headers[quantized[0]].dtype}; quantized weights "
            "are not supported, choose the model in bfloat16, float16 or float32"
        )


def stored_bytes(headers: Headers) -> int:
    return sum(header.num_bytes for header in headers.values())


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMED])
    return shown if len(names) <= _MAX_NAMED else f"{shown} and {len(names) - _MAX_NAMED} more"
