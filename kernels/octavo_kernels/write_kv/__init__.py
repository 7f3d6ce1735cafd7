"""Stores new keys and values in the blocks of the cache.

write_kv(key_THD, value_THD, key_cache, value_cache, slot_mapping_T)

The key cache is [blocks, kv_heads, head_dim, block_size], so that one vector holds a dimension of a block's
keys, the value cache [blocks, kv_heads, block_size, head_dim]; `slot_mapping` is int64 and counts tokens:
block * block_size + offset in the block. Slots within one call differ from each other.
"""

from octavo_kernels.write_kv.reference import write_kv

__all__ = ["write_kv"]
