"""The operations of a step, recorded once and then run for every step by one call into the compiled kernels.

A model is written as Python that applies operations to rows. Here that Python runs once, at load, over `Rows`
that stand for buffers, and what it asked for is kept as a list of C functions and their arguments, much as a
CUDA graph does it. What differs from step to step (which tokens, where) comes in a `StepArrays`. Between the
first operation and the logits there is no Python, so the GIL is free for the server's thread.
"""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from octavo_kernels.linear.packed import LinearShape, PackedLinear
from octavo_kernels.native.address import address
from octavo_kernels.native.library import NativeLibrary

Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A value of the program: one row a token, or one a sampled token where `of_sampled`."""

    buffer: int
    width: int
    dtype: torch.dtype
    of_sampled: bool = False

    @property
    def row_bytes(self) -> int:
        return self.width * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShape:
    num_heads: int
    num_kv_heads: int
    head_dim: int
    block_size: int


class _Step(ctypes.Structure):
    """`Step` of native/step.h."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("num_tokens", "num_rows", "num_sampled", "block_table_stride")),
        *((name, ctypes.c_void_p) for name in ("input_id", "position", "slot_mapping", "query_start")),
        *((name, ctypes.c_void_p) for name in ("context_len", "slot", "block_table", "sampled_token")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepArrays:
    """Contiguous; see core/batch.py of the engine for what each means."""

    input_id_T: Int32s
    position_T: Int32s
    slot_mapping_T: Int32s
    query_start_R1: Int32s
    context_len_R: Int32s
    slot_R: Int32s
    block_table_SB: Int32s
    sampled_token_N: Int32s


_INT32_DTYPE = np.dtype(np.int32)
_ARRAYS = tuple(field.name for field in fields(StepArrays))


class _Operation(ctypes.Structure):
    _fields_ = (("run", ctypes.c_void_p), ("args", ctypes.c_void_p))


def _arguments(name: str, **members: type) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": list(members.items())})


_POINTER, _INT64, _INT32, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_float
_CopyArgs = _arguments("CopyArgs", source=_POINTER, out=_POINTER, row_bytes=_INT64)
_NormArgs = _arguments(
    "NormArgs", x=_POINTER, residual=_POINTER, weight=_POINTER, out=_POINTER, hidden=_INT64, eps=_FLOAT,
    of_sampled=_INT32,
)  # fmt: skip
_LinearArgs = _arguments(
    "LinearArgs", x=_POINTER, packed=_POINTER, bias=_POINTER, out=_POINTER, shape=LinearShape,
    of_sampled=_INT32, following=_POINTER,
)  # fmt: skip
_HEADS = dict.fromkeys(("num_heads", "num_kv_heads", "head_dim", "block_size"), _INT32)
_RopeArgs = _arguments(
    "RopeArgs", qkv=_POINTER, cos=_POINTER, sin=_POINTER, key_cache=_POINTER, value_cache=_POINTER, **_HEADS
)
_AttentionArgs = _arguments(
    "AttentionArgs",
    qkv=_POINTER,
    key_cache=_POINTER,
    value_cache=_POINTER,
    out=_POINTER,
    **_HEADS,
    scale=_FLOAT,
)

_SUFFIX = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True, slots=True)
class _Recorded:
    """`arguments` values are numbers, tensors (which stay alive with the program) or Rows."""

    function: str
    kind: type[ctypes.Structure]
    arguments: dict[str, object]


class ProgramBuilder:
    """Records; `build` makes the program. Values that are not used any more share memory with later ones."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._values: list[Rows] = []
        self._recorded: list[_Recorded] = []

    def value(self, width: int, dtype: torch.dtype | None = None, *, of_sampled: bool = False) -> Rows:
        self._values.append(Rows(len(self._values), width, dtype or self.dtype, of_sampled))
        return self._values[-1]

    def embedding(self, weight_VH: Tensor) -> Rows:
        out = self.value(weight_VH.shape[1], weight_VH.dtype)
        self._record("octavo_embedding", _CopyArgs, source=weight_VH, out=out, row_bytes=out.row_bytes)
        return out

    def select_sampled(self, x: Rows) -> Rows:
        out = self.value(x.width, x.dtype, of_sampled=True)
        self._record("octavo_select", _CopyArgs, source=x, out=out, row_bytes=x.row_bytes)
        return out

    def rms_norm(self, x: Rows, residual: Rows | None, weight_H: Tensor, eps: float) -> Rows:
        """With a residual x is added to that first, in place."""
        out = self.value(x.width, x.dtype, of_sampled=x.of_sampled)
        self._record(
            f"octavo_rms_norm_{_SUFFIX[x.dtype]}", _NormArgs,
            x=x, residual=residual, weight=weight_H, out=out, hidden=x.width, eps=eps,
            of_sampled=int(x.of_sampled),
        )  # fmt: skip
        return out

    def linear(self, x: Rows, weight: PackedLinear, *, to_float32: bool = False) -> Rows:
        dtype = torch.float32 if to_float32 else x.dtype
        out = self.value(int(weight.shape.n), dtype, of_sampled=x.of_sampled)
        suffix = "_to_float32" if dtype != x.dtype else ""
        self._record(
            f"octavo_linear_{_SUFFIX[x.dtype]}{suffix}", _LinearArgs,
            x=x, packed=weight.packed, bias=weight.bias, out=out, shape=weight.shape,
            of_sampled=int(x.of_sampled),
        )  # fmt: skip
        return out

    def rope_and_write_kv(
        self,
        qkv: Rows,
        cos_PD: Tensor,
        sin_PD: Tensor,
        key_cache: Tensor,
        value_cache: Tensor,
        heads: HeadShape,
    ) -> None:
        """Rotates the queries of `qkv` in place."""
        self._record(
            f"octavo_rope_and_write_kv_{_SUFFIX[qkv.dtype]}", _RopeArgs,
            qkv=qkv, cos=cos_PD, sin=sin_PD, key_cache=key_cache, value_cache=value_cache, **_heads(heads),
        )  # fmt: skip

    def paged_attention(
        self, qkv: Rows, key_cache: Tensor, value_cache: Tensor, heads: HeadShape, scale: float
    ) -> Rows:
        out = self.value(heads.num_heads * heads.head_dim, qkv.dtype)
        self._record(
            f"octavo_paged_attention_{_SUFFIX[qkv.dtype]}", _AttentionArgs,
            qkv=qkv, key_cache=key_cache, value_cache=value_cache, out=out, **_heads(heads), scale=scale,
        )  # fmt: skip
        return out

    def build(
        self, library: NativeLibrary, outputs: Sequence[Rows], *, max_tokens: int, max_sampled: int
    ) -> "Program":
        places, num_bytes = self._places(outputs, max_tokens, max_sampled)
        return Program(library, self._recorded, places, num_bytes)

    def _record(self, function: str, kind: type[ctypes.Structure], **arguments: object) -> None:
        self._recorded.append(_Recorded(function, kind, arguments))

    def _places(
        self, outputs: Sequence[Rows], max_tokens: int, max_sampled: int
    ) -> tuple[dict[int, int], int]:
        """Where each buffer begins: the first free gap among the buffers that live at the same time."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, recorded in enumerate(self._recorded):
            for argument in recorded.arguments.values():
                if isinstance(argument, Rows):
                    first.setdefault(argument.buffer, number)
                    last[argument.buffer] = number
        last.update((rows.buffer, len(self._recorded)) for rows in outputs)
        placed: list[tuple[int, int, int]] = []  # begin, end, buffer
        for buffer in sorted(first, key=first.__getitem__):
            rows = self._values[buffer]
            size = -(-rows.row_bytes * (max_sampled if rows.of_sampled else max_tokens) // 64) * 64
            begin = 0
            for other_begin, other_end, other in sorted(placed):
                is_alive = last[other] >= first[buffer]
                if is_alive and begin < other_end and other_begin < begin + size:
                    begin = other_end
            placed.append((begin, begin + size, buffer))
        return {buffer: begin for begin, _, buffer in placed}, max(end for _, end, _ in placed)


class Program:
    """Runs in one thread at a time; its buffers hold the last step's values until the next."""

    def __init__(
        self,
        library: NativeLibrary,
        recorded: Sequence[_Recorded],
        places: dict[int, int],
        num_bytes: int,
    ) -> None:
        self._library = library
        self._arena = torch.empty(
            num_bytes + 64, dtype=torch.uint8
        )  # pages cost memory once they are written
        base = -(-self._arena.data_ptr() // 64) * 64 - self._arena.data_ptr()
        self._offset_of = {buffer: base + place for buffer, place in places.items()}
        self._keep = [argument for item in recorded for argument in item.arguments.values()]
        self._arguments = [self._structure(item) for item in recorded]
        linears = [structure for structure in self._arguments if isinstance(structure, _LinearArgs)]
        for linear, following in pairwise(linears):
            linear.following = ctypes.addressof(following)
        self._operations = (_Operation * len(recorded))(
            *(
                _Operation(library.address(item.function), ctypes.addressof(structure))
                for item, structure in zip(recorded, self._arguments, strict=True)
            )
        )
        self._run = library.create_run()
        weakref.finalize(self, library.destroy_run, self._run)

    def run(self, arrays: StepArrays) -> None:
        step = _Step(
            len(arrays.input_id_T), len(arrays.slot_R), len(arrays.sampled_token_N),
            arrays.block_table_SB.shape[1],
            *(address(getattr(arrays, name), _INT32_DTYPE) for name in _ARRAYS),
        )  # fmt: skip
        self._library.run_program(self._operations, step, self._run)

    def tensor(self, rows: Rows, num_rows: int) -> Tensor:
        """A view [num_rows, width] of an output or of an input to be filled."""
        start = self._offset_of[rows.buffer]
        flat = self._arena[start : start + num_rows * rows.row_bytes]
        return flat.view(rows.dtype).view(num_rows, rows.width)

    def _structure(self, recorded: _Recorded) -> ctypes.Structure:
        return recorded.kind(**{name: self._value(value) for name, value in recorded.arguments.items()})

    def _value(self, argument: object) -> object:
        match argument:
            case Rows():
                return self._arena.data_ptr() + self._offset_of[argument.buffer]
            case Tensor():
                assert argument.is_contiguous()
                return argument.data_ptr()
            case _:
                return argument


def _heads(heads: HeadShape) -> dict[str, object]:
    return {name: getattr(heads, name) for name in _HEADS}
