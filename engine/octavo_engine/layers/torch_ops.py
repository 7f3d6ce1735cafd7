"""The operations of a step as PyTorch's, carried out when called: on CUDA, and where nothing is compiled."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from octavo_engine.layers.linear import Linear
from octavo_engine.layers.ops import Heads
from octavo_kernels.paged_attention import AttentionBatch, paged_attention
from octavo_kernels.rms_norm import add_rms_norm, rms_norm
from octavo_kernels.rope import rope
from octavo_kernels.silu_mul import silu_mul
from octavo_kernels.write_kv import write_kv

KVCaches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchOps:
    """Implements `Ops[Tensor]` for one step."""

    kv_caches: KVCaches
    input_id_T: Tensor
    slot_mapping_T: Tensor
    sampled_token_N: Tensor
    cos_TD: Tensor
    sin_TD: Tensor
    batch: AttentionBatch

    def embedding(self, weight_VH: Tensor) -> Tensor:
        return embedding(self.input_id_T, weight_VH)

    def rms_norm(self, x: Tensor, weight_H: Tensor, eps: float) -> Tensor:
        return rms_norm(x, weight_H, eps)

    def add_rms_norm(
        self, x: Tensor, residual: Tensor, weight_H: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        return add_rms_norm(x, residual, weight_H, eps)

    def linear(self, x: Tensor, weight: Linear) -> Tensor:
        return linear(x, weight.plain, weight.bias_O)

    def gated_linear(self, x: Tensor, weight: Linear) -> Tensor:
        return silu_mul(self.linear(x, weight))

    def attention(self, qkv: Tensor, heads: Heads, layer: int) -> Tensor:
        key_cache, value_cache = self.kv_caches[layer]
        qkv_THD = qkv.view(len(qkv), -1, heads.head_dim)
        num_rotated = heads.num_heads + heads.num_kv_heads
        rotated_THD = rope(qkv_THD[:, :num_rotated], self.cos_TD, self.sin_TD)
        query_THD, key_THD = rotated_THD[:, : heads.num_heads], rotated_THD[:, heads.num_heads :]
        write_kv(key_THD, qkv_THD[:, num_rotated:], key_cache, value_cache, self.slot_mapping_T)
        out_THD = paged_attention(query_THD, key_cache, value_cache, self.batch, heads.scale)
        return out_THD.reshape(len(qkv), -1)

    def select_sampled(self, x: Tensor) -> Tensor:
        return x[self.sampled_token_N]

    def logits(self, x: Tensor, weight: Linear) -> Tensor:
        return self.linear(x, weight).to(torch.float32)
