"""A step as flat arrays: from which slots go on by how many tokens to what the worker computes."""

import numpy as np

from octavo_engine.core.batch import LATEST_TOKEN, Batch, Int32s
from octavo_engine.core.slots import Slots


def make_batch(slots: Slots, slot_R: Int32s, num_new_R: Int32s, block_size: int) -> Batch:
    """The slots' tables have room for the new tokens already."""
    shared = slots.shared
    first_R = slots.num_computed_S[slot_R]
    context_len_R = first_R + num_new_R
    query_start_R1 = np.zeros(len(slot_R) + 1, dtype=np.int32)
    np.cumsum(num_new_R, out=query_start_R1[1:])
    num_tokens = int(query_start_R1[-1])
    if num_tokens == len(slot_R):
        slot_T, position_T = slot_R, first_R
    else:
        slot_T = np.repeat(slot_R, num_new_R)
        position_T = np.arange(num_tokens, dtype=np.int32)
        position_T += np.repeat(first_R - query_start_R1[:-1], num_new_R)
    input_id_T = shared.token_SL[slot_T, position_T]
    input_id_T[position_T >= shared.num_tokens_S[slot_T]] = LATEST_TOKEN
    block_T, offset_T = np.divmod(position_T, np.int32(block_size))
    (sampled_row_N,) = np.nonzero(context_len_R == slots.num_expected_S[slot_R])
    is_all = len(sampled_row_N) == len(slot_R)
    slot_N = slot_R if is_all else slot_R[sampled_row_N]
    before_N = context_len_R if is_all else context_len_R[sampled_row_N]
    return Batch(
        slots=shared,
        slot_R=slot_R,
        query_start_R1=query_start_R1,
        context_len_R=context_len_R,
        input_id_T=input_id_T,
        position_T=position_T,
        slot_mapping_T=shared.block_table_SB[slot_T, block_T] * np.int32(block_size) + offset_T,
        sampled_row_N=sampled_row_N.astype(np.int32),
        sampled_token_N=query_start_R1[sampled_row_N + 1] - np.int32(1),
        slot_N=slot_N,
        num_generated_N=(before_N - shared.num_prompt_tokens_S[slot_N]).astype(np.int64),
        banned_NK=slots.stops_where(before_N < slots.min_num_tokens_S[slot_N], slot_N),
    )
