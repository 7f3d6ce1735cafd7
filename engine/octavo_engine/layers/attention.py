"""Self-attention over the paged cache: project, rotate, store, attend, project back."""

from dataclasses import dataclass

from torch import Tensor

from octavo_engine.layers.linear import Linear
from octavo_kernels.paged_attention import AttentionBatch, paged_attention
from octavo_kernels.rope import rope
from octavo_kernels.write_kv import write_kv


@dataclass(frozen=True, kw_only=True)
class ForwardContext:
    """What a step's layers share."""

    batch: AttentionBatch
    slot_mapping_T: Tensor
    cos_TD: Tensor
    sin_TD: Tensor


class Attention:
    """`qkv` yields query, key and value heads in this order."""

    def __init__(self, qkv: Linear, out: Linear, *, num_heads: int, num_kv_heads: int, head_dim: int) -> None:
        self.qkv = qkv
        self.out = out
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = head_dim
        self.scale = head_dim**-0.5

    def __call__(
        self, x_TH: Tensor, key_cache: Tensor, value_cache: Tensor, context: ForwardContext
    ) -> Tensor:
        qkv_THD = self.qkv(x_TH).view(len(x_TH), -1, self.head_dim)
        num_rotated = self.num_heads + self.num_kv_heads
        rotated_THD = rope(qkv_THD[:, :num_rotated], context.cos_TD, context.sin_TD)
        query_THD, key_THD = rotated_THD[:, : self.num_heads], rotated_THD[:, self.num_heads :]
        write_kv(key_THD, qkv_THD[:, num_rotated:], key_cache, value_cache, context.slot_mapping_T)
        out_THD = paged_attention(query_THD, key_cache, value_cache, context.batch, self.scale)
        return self.out(out_THD.reshape(len(x_TH), -1))
