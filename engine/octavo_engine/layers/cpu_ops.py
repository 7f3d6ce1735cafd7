"""The operations of a step recorded as a program of the compiled CPU kernels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from octavo_engine.layers.linear import Linear
from octavo_engine.layers.ops import Heads
from octavo_engine.layers.rope import Rope
from octavo_kernels.native.program import HeadShape, ProgramBuilder, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuOps:
    """Implements `Ops[Rows]`."""

    program: ProgramBuilder
    kv_caches: Sequence[tuple[Tensor, Tensor]]
    rope: Rope

    def embedding(self, weight_VH: Tensor) -> Rows:
        return self.program.embedding(weight_VH)

    def rms_norm(self, x: Rows, weight_H: Tensor, eps: float) -> Rows:
        return self.program.rms_norm(x, None, weight_H, eps)

    def add_rms_norm(self, x: Rows, residual: Rows, weight_H: Tensor, eps: float) -> tuple[Rows, Rows]:
        return self.program.rms_norm(x, residual, weight_H, eps), residual

    def linear(self, x: Rows, weight: Linear) -> Rows:
        return self.program.linear(x, weight.packed)

    def gated_linear(self, x: Rows, weight: Linear) -> Rows:
        assert weight.packed.shape.epilogue, "packed without its gates beside what they gate"
        return self.program.linear(x, weight.packed)

    def attention(self, qkv: Rows, heads: Heads, layer: int) -> Rows:
        key_cache, value_cache = self.kv_caches[layer]
        shape = HeadShape(
            num_heads=heads.num_heads,
            num_kv_heads=heads.num_kv_heads,
            head_dim=heads.head_dim,
            block_size=value_cache.shape[2],
        )
        self.program.rope_and_write_kv(qkv, self.rope.cos_PD, self.rope.sin_PD, key_cache, value_cache, shape)
        return self.program.paged_attention(qkv, key_cache, value_cache, shape, heads.scale)

    def select_sampled(self, x: Rows) -> Rows:
        return self.program.select_sampled(x)

    def logits(self, x: Rows, weight: Linear) -> Rows:
        return self.program.linear(x, weight.packed, to_float32=x.dtype != torch.float32)
