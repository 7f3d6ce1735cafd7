"""Tensors out of safetensors files, one at a time, checked against what the decoder expects."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from octavo_engine.errors import InvalidModel
from octavo_engine.models.safetensors_headers import INDEX_FILE, SINGLE_FILE

TORCH_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class Checkpoint:
    """The tensors of a model's folder by name. Files are mapped, so only what is taken is read."""

    def __init__(self, file_of_tensor: dict[str, Path], handles: dict[Path, Any], target: "Target") -> None:
        self._file_of_tensor = file_of_tensor
        self._handles = handles
        self.target = target

    def __contains__(self, name: str) -> bool:
        return name in self._file_of_tensor

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A copy in the wanted dtype on the wanted device; the mapped pages can go."""
        path = self._file_of_tensor.get(name)
        if path is None:
            raise InvalidModel(f"the checkpoint has no tensor {name}; it does not belong to its config.json")
        try:
            tensor: Tensor = self._handles[path].get_tensor(name)
        except SafetensorError as error:
            raise InvalidModel(f"{path}: tensor {name} cannot be read: {error}") from error
        if tuple(tensor.shape) != shape:
            found = list(tensor.shape)
            raise InvalidModel(
                f"{path}: tensor {name} has shape {found}, but config.json wants {list(shape)}"
            )
        if not tensor.dtype.is_floating_point or tensor.dtype.itemsize == 1:
            raise InvalidModel(
                f"{path}: tensor {name} is {tensor.dtype}; quantized weights are not supported"
            )
        return tensor.to(device=self.target.device, dtype=self.target.dtype, copy=True)

    def stack(self, names: tuple[str, ...], rows: tuple[int, ...], *columns: int) -> Tensor:
        """Several tensors as one along the first dimension."""
        parts = zip(names, rows, strict=True)
        return torch.cat([self.take(name, (num_rows, *columns)) for name, num_rows in parts])


class Target:
    """Where weights go."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype


@contextmanager
def open_checkpoint(folder: Path, target: Target) -> Iterator[Checkpoint]:
    file_of_tensor = _file_of_tensor(folder)
    with ExitStack() as stack:
        handles: dict[Path, Any] = {}
        for path in sorted(set(file_of_tensor.values()) or {folder / SINGLE_FILE}):
            try:
                handles[path] = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise InvalidModel(f"{path} is not a readable safetensors file: {error}") from error
            file_of_tensor |= dict.fromkeys(handles[path].keys(), path)
        yield Checkpoint(file_of_tensor, handles, target)


def _file_of_tensor(folder: Path) -> dict[str, Path]:
    """From the index of a sharded checkpoint; empty for a single file, which knows its names itself."""
    index = folder / INDEX_FILE
    if not index.exists():
        if not (folder / SINGLE_FILE).exists():
            raise InvalidModel(
                f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}; only safetensors are read"
            )
        return {}
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        files = {str(name): folder / Path(file).name for name, file in weight_map.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModel(f"{index} is not an index of safetensors files: {error!r}") from error
    missing = sorted({path.name for path in files.values() if not path.exists()})
    if missing:
        raise InvalidModel(f"{folder} lacks {', '.join(missing)}, which {INDEX_FILE} names")
    return files
