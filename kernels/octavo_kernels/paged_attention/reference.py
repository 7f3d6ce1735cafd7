"""The truth of paged_attention: gathers each context into one piece and calls PyTorch's attention."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from octavo_kernels.paged_attention.batch import AttentionBatch


def paged_attention(
    query_THD: Tensor, key_cache: Tensor, value_cache: Tensor, batch: AttentionBatch, scale: float
) -> Tensor:
    pieces: list[Tensor] = []
    if batch.num_decode_rows:
        query = query_THD[: batch.num_decode_rows]
        pieces.append(_decode(query, key_cache, value_cache, batch, scale))
    end = batch.num_decode_rows
    for row, mask in enumerate(batch.prefill_masks, start=batch.num_decode_rows):
        start, end = end, end + batch.query_lens[row]
        blocks = batch.prefill_blocks_B(row)
        pieces.append(_prefill(query_THD[start:end], key_cache, value_cache, blocks, mask, scale))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _decode(
    query_RHD: Tensor, key_cache: Tensor, value_cache: Tensor, batch: AttentionBatch, scale: float
) -> Tensor:
    """All decode rows at once: the queries that share a key head stand where query positions would."""
    num_rows, num_heads, head_dim = query_RHD.shape
    num_kv_heads = key_cache.shape[2]
    query = query_RHD.reshape(num_rows, num_kv_heads, num_heads // num_kv_heads, head_dim)
    blocks_RB = batch.decode_blocks_RB
    key, value = (
        cache.index_select(0, blocks_RB.flatten()).view(num_rows, -1, num_kv_heads, head_dim).transpose(1, 2)
        for cache in (key_cache, value_cache)
    )
    out = scaled_dot_product_attention(query, key, value, attn_mask=batch.decode_mask_R11L, scale=scale)
    return out.reshape(num_rows, num_heads, head_dim)


def _prefill(
    query_QHD: Tensor, key_cache: Tensor, value_cache: Tensor, blocks_B: Tensor, mask_QL: Tensor, scale: float
) -> Tensor:
    context_len = mask_QL.shape[1]
    key, value = (
        cache.index_select(0, blocks_B).flatten(0, 1)[:context_len].transpose(0, 1)[None]
        for cache in (key_cache, value_cache)
    )
    query = query_QHD.transpose(0, 1)[None]
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=mask_QL[None, None], scale=scale, enable_gqa=True
    )
    return out[0].transpose(0, 1)
