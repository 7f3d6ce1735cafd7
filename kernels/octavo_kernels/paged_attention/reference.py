"""The truth of paged_attention: gathers each context into one piece and calls PyTorch's attention."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from octavo_kernels.paged_attention.batch import AttentionBatch


def paged_attention(
    query_THD: Tensor, key_cache: Tensor, value_cache: Tensor, batch: AttentionBatch, scale: float
) -> Tensor:
    out_THD = torch.empty_like(query_THD)
    if batch.decode_rows:
        tokens_R = batch.decode_tokens_R
        out_THD[tokens_R] = _decode(query_THD[tokens_R], key_cache, value_cache, batch, scale)
    for row, mask_QL in batch.prefill_masks.items():
        start, end = batch.query_starts[row], batch.query_starts[row] + batch.query_lens[row]
        blocks_B = batch.blocks_B(row)
        out_THD[start:end] = _prefill(query_THD[start:end], key_cache, value_cache, blocks_B, mask_QL, scale)
    return out_THD


def gather(key_cache: Tensor, value_cache: Tensor, blocks_RB: Tensor) -> tuple[Tensor, Tensor]:
    """The blocks of each row side by side: keys and values, [rows, kv_heads, positions, head_dim]."""
    num_rows = len(blocks_RB)
    blocks = blocks_RB.flatten()
    num_kv_heads, head_dim = key_cache.shape[1:3]
    key = key_cache.index_select(0, blocks).transpose(2, 3)
    value = value_cache.index_select(0, blocks)
    return (
        key.reshape(num_rows, -1, num_kv_heads, key.shape[2], head_dim).transpose(1, 2).flatten(2, 3),
        value.view(num_rows, -1, num_kv_heads, value.shape[2], head_dim).transpose(1, 2).flatten(2, 3),
    )


def _decode(
    query_RHD: Tensor, key_cache: Tensor, value_cache: Tensor, batch: AttentionBatch, scale: float
) -> Tensor:
    """All decode rows at once: the queries that share a key head stand where query positions would."""
    num_rows, num_heads, head_dim = query_RHD.shape
    num_kv_heads = key_cache.shape[1]
    query = query_RHD.reshape(num_rows, num_kv_heads, num_heads // num_kv_heads, head_dim)
    key, value = gather(key_cache, value_cache, batch.decode_blocks_RB)
    out = scaled_dot_product_attention(query, key, value, attn_mask=batch.decode_mask_R11L, scale=scale)
    return out.reshape(num_rows, num_heads, head_dim)


def _prefill(
    query_QHD: Tensor, key_cache: Tensor, value_cache: Tensor, blocks_B: Tensor, mask_QL: Tensor, scale: float
) -> Tensor:
    context_len = mask_QL.shape[1]
    key, value = (cached[:, :, :context_len] for cached in gather(key_cache, value_cache, blocks_B[None]))
    query = query_QHD.transpose(0, 1)[None]
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=mask_QL[None, None], scale=scale, enable_gqa=True
    )
    return out[0].transpose(0, 1)
