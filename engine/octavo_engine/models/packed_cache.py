"""Packed weights in a file beside the model, so that the next start maps them instead of packing them again.

The file is safetensors. Its metadata name what it was made from (files, sizes, times, dtype, layout); a file
made from anything else is written anew. Where the model's folder cannot be written, there is no cache.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from octavo_kernels.linear.packed import LAYOUT_VERSION

logger = logging.getLogger(__name__)

FILE_NAME = ".octavo-packed.safetensors"  # hidden: not one of the checkpoint's own files
_DTYPE_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16"}


class PackedCache:
    """What a former start packed, or else what this one packs, to be saved at its end."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._path = folder / FILE_NAME
        self._made_from = _fingerprint(folder, dtype)
        self._found = self._open()
        self._added: dict[str, Tensor] = {}

    def find(self, names: Sequence[str], num_elements: int) -> Tensor | None:
        """A mapped tensor of that size; its pages are read when they are used."""
        found = self._found.get(_key(names))
        return found if found is not None and found.shape == (num_elements,) else None

    def add(self, names: Sequence[str], packed: Tensor) -> None:
        self._added[_key(names)] = packed

    def save(self) -> None:
        """Write what was added, whole or not at all; a folder that cannot be written is no error."""
        if not self._added:
            return
        size = sum(tensor.nbytes for tensor in self._added.values())
        if shutil.disk_usage(self._path.parent).free < 2 * size:
            logger.info("packed weights are not kept beside the model: the disk is nearly full")
            return
        try:
            with tempfile.TemporaryDirectory(dir=self._path.parent, prefix=FILE_NAME) as scratch:
                unfinished = Path(scratch) / FILE_NAME
                with unfinished.open("wb") as file:
                    file.write(_header(self._added, self._made_from))
                    for tensor in self._added.values():
                        tensor.view(torch.uint8).numpy().tofile(file)
                unfinished.replace(self._path)
            logger.info("packed weights are kept in %s", self._path)
        except OSError as error:
            logger.info("packed weights are not kept beside the model: %s", error)

    def _open(self) -> dict[str, Tensor]:
        try:
            with safe_open(self._path, framework="pt") as file:
                if (file.metadata() or {}).get("made_from") != self._made_from:
                    return {}
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        except (SafetensorError, OSError):
            return {}


def _key(names: Sequence[str]) -> str:
    return "+".join(names)


def _fingerprint(folder: Path, dtype: torch.dtype) -> str:
    files = sorted(path for path in folder.glob("*.safetensors") if path.name != FILE_NAME)
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((LAYOUT_VERSION, str(dtype), facts)).encode()).hexdigest()


def _header(tensors: dict[str, Tensor], made_from: str) -> bytes:
    """As safetensors defines it; written here because the library would hold a second copy of all tensors."""
    entries: dict[str, object] = {"__metadata__": {"made_from": made_from}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        entries[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-(len(text) + 8) % 64)  # so that the first tensor begins at a cache line
    return len(text).to_bytes(8, "little") + text
