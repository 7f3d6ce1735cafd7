"""The truth of write_kv."""

from torch import Tensor


def write_kv(
    key_THD: Tensor, value_THD: Tensor, key_cache: Tensor, value_cache: Tensor, slot_mapping_T: Tensor
) -> None:
    key_cache.flatten(0, 1).index_copy_(0, slot_mapping_T, key_THD)
    value_cache.flatten(0, 1).index_copy_(0, slot_mapping_T, value_THD)
