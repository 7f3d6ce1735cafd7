"""The truth of write_kv."""

from torch import Tensor


def write_kv(
    key_THD: Tensor, value_THD: Tensor, key_cache: Tensor, value_cache: Tensor, slot_mapping_T: Tensor
) -> None:
    blocks_T, offsets_T = slot_mapping_T // key_cache.shape[3], slot_mapping_T % key_cache.shape[3]
    key_cache[blocks_T, :, :, offsets_T] = key_THD
    value_cache[blocks_T, :, offsets_T] = value_THD
