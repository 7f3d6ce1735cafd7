"""Loads the compiled CPU kernels: built ahead beside this package, or built now into the user's cache.

Functions are C functions over pointers, called through ctypes without the GIL.
"""

import ctypes
import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from octavo_kernels.native.build import PACKAGE, BuildError, build, is_whole, library_name
from octavo_kernels.native.instruction_set import InstructionSet, supported_instruction_sets

logger = logging.getLogger(__name__)

BUILT_AHEAD = PACKAGE / "native" / "lib"


class NativeLibrary:
    """The kernels for one instruction set, and the threads that run them. Calls leave the GIL."""

    def __init__(self, path: Path, instruction_set: InstructionSet, num_threads: int) -> None:
        self.path = path
        self.instruction_set = instruction_set
        self.num_threads = num_threads
        self.functions = ctypes.CDLL(str(path))
        for name in ("octavo_pool_create", "octavo_run_create"):
            getattr(self.functions, name).restype = ctypes.c_void_p
        self.functions.octavo_linear_packed_size.restype = ctypes.c_int64

    @cached_property
    def pool(self) -> ctypes.c_void_p:
        """The threads; they start with the first use and live as long as the process."""
        return ctypes.c_void_p(self.functions.octavo_pool_create(self.num_threads))

    def address(self, function: str) -> int | None:
        return ctypes.cast(getattr(self.functions, function), ctypes.c_void_p).value

    def packed_size(self, shape: ctypes.Structure) -> int:
        return int(self.functions.octavo_linear_packed_size(ctypes.byref(shape)))

    def pack_linear(self, weight: Tensor, shape: ctypes.Structure, out: Tensor) -> None:
        dtype = str(weight.dtype).removeprefix("torch.")
        pack = getattr(self.functions, f"octavo_linear_pack_{dtype}")
        pack(self.pool, _pointer(weight), ctypes.byref(shape), _pointer(out))

    def create_run(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.functions.octavo_run_create(self.pool))

    def destroy_run(self, run: ctypes.c_void_p) -> None:
        self.functions.octavo_run_destroy(run)

    def run_program(
        self, operations: ctypes.Array[Any], step: ctypes.Structure, run: ctypes.c_void_p
    ) -> None:
        self.functions.octavo_program_run(operations, len(operations), ctypes.byref(step), run)

    def sample(self, arguments: ctypes.Structure) -> None:
        """`SampleArgs` of sampling/cpu.h."""
        self.functions.octavo_sample(self.pool, ctypes.byref(arguments))


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def load_native(
    num_threads: int, *, instruction_set: str | None = None, cache: Path | None = None
) -> NativeLibrary | None:
    """The best library for this machine, or the one asked for; None, and a line in the log, without one."""
    supported = supported_instruction_sets()
    chosen = next((c for c in supported if instruction_set in (None, c.name)), None)
    if chosen is None:
        names = ", ".join(c.name for c in supported) or "none of ours"
        logger.warning(
            "no compiled CPU kernels for this processor (it has %s); PyTorch's run instead, slower", names
        )
        return None
    path = BUILT_AHEAD / library_name(chosen)
    try:
        if not is_whole(path):
            path = (cache or default_cache()) / path.name
        if not is_whole(path):
            build(chosen, path.parent)
        return NativeLibrary(path, chosen, num_threads)
    except (BuildError, OSError) as error:
        logger.warning("no compiled CPU kernels, PyTorch's run instead, slower: %s", error)
        return None


def default_cache() -> Path:
    base = os.environ.get("OCTAVO_CACHE")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "octavo"
    return root / "kernels"
