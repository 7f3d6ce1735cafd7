"""Causal attention of new tokens over their requests' keys and values, which lie in blocks of the cache.

paged_attention(query_THD, key_cache, value_cache, batch, scale) -> out_THD

Tokens of one row (request) lie together, rows one after the other, decode rows (one token) first. The caches
are [blocks, block_size, kv_heads, head_dim] and hold the new tokens already. Query heads share a key head in
consecutive groups of query_heads / kv_heads. A row's last new token sees `context_len` tokens, itself
included, the one before it one token less, and so on. What lies in a block past the context does not count,
but it must be finite.
"""

from octavo_kernels.paged_attention.batch import AttentionBatch
from octavo_kernels.paged_attention.reference import paged_attention

__all__ = ["AttentionBatch", "paged_attention"]
