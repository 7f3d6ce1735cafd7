"""Causal attention of new tokens over their requests' keys and values, which lie in blocks of the cache.

paged_attention(query_THD, key_cache, value_cache, batch, scale) -> out_THD

Tokens of one row (request) lie together, rows one after the other. The caches are laid out as write_kv says
and hold the new tokens already. Query heads share a key head in consecutive groups of query_heads / kv_heads.
A row's last new token sees `context_len` tokens, itself included, the one before it one token less, and so
on. What lies in a block past the context does not count, but for the reference it must be finite.

The compiled kernel gives a token the same bits whatever else is in the batch and however its prompt was cut.
"""

from octavo_kernels.paged_attention.batch import AttentionBatch
from octavo_kernels.paged_attention.reference import paged_attention

__all__ = ["AttentionBatch", "paged_attention"]
