"""Weights in the layout that the CPU's linear layer reads; see cpu.h."""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from octavo_kernels.native.library import NativeLibrary

LAYOUT_VERSION = 2
"""Raised when packed weights of an older version would be misread."""


class LinearShape(ctypes.Structure):
    """`LinearShape` of cpu.h."""

    k: int
    n: int
    epilogue: int

    _fields_ = (("k", ctypes.c_int64), ("n", ctypes.c_int64), ("epilogue", ctypes.c_int32))


@dataclass(frozen=True, slots=True, eq=False)
class PackedLinear:
    """`packed` is flat; `bias` has the outputs' order of the weight that was packed."""

    packed: Tensor
    bias: Tensor | None
    shape: LinearShape


def linear_shape(num_outputs: int, num_inputs: int, *, is_gated: bool = False) -> LinearShape:
    """A gated layer has the gates first and as many outputs behind them; their product is its output."""
    return LinearShape(num_inputs, num_outputs // 2 if is_gated else num_outputs, int(is_gated))


def pack_linear(library: NativeLibrary, weight_OI: Tensor, shape: LinearShape) -> Tensor:
    """A packed copy of a float32 or bfloat16 weight whose number of inputs is a multiple of 16."""
    assert weight_OI.dtype in (torch.float32, torch.bfloat16) and weight_OI.shape[1] % 16 == 0
    packed = torch.empty(library.packed_size(shape), dtype=weight_OI.dtype)
    library.pack_linear(weight_OI.contiguous(), shape, packed)
    return packed
