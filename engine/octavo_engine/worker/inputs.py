"""A batch as flat arrays: all rows' tokens one after the other, no padding."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from octavo_engine.core.batch import LATEST_TOKEN, Batch
from octavo_engine.worker.slot_table import SlotTable

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """T tokens of R rows; decode rows (one token) come first, as attention wants them."""

    input_ids_T: Integers
    positions_T: Integers
    slot_mapping_T: Integers
    """Where each token's key and value go: block * block_size + offset."""
    latest_T: Integers
    """For tokens that are a slot's latest sampled one: the slot; elsewhere -1."""
    query_lens: list[int]
    context_lens: list[int]
    block_tables_RB: Integers
    num_decode_rows: int
    sampled_T: Integers
    """Indices of the tokens whose logits are wanted, in the batch's order of rows."""


def make_inputs(batch: Batch, slots: SlotTable, block_size: int) -> Inputs:
    order = sorted(range(len(batch.rows)), key=lambda index: len(batch.rows[index].token_ids) != 1)
    rows = [batch.rows[index] for index in order]
    lens = np.array([len(row.token_ids) for row in rows])
    ends = lens.cumsum()
    num_tokens = int(ends[-1])
    first_positions = np.array([row.first_position for row in rows])
    slot_R = np.array([row.slot for row in rows])
    positions = np.arange(num_tokens) + np.repeat(first_positions - (ends - lens), lens)
    slot_T = np.repeat(slot_R, lens)
    token_ids = np.fromiter(
        chain.from_iterable(row.token_ids for row in rows), dtype=np.int64, count=num_tokens
    )
    context_lens = first_positions + lens
    max_blocks = -(-int(context_lens.max()) // block_size)
    blocks = slots.block_tables_SB[slot_T, positions // block_size]
    last_token_of_row = np.empty(len(rows), dtype=np.int64)
    last_token_of_row[order] = ends - 1
    return Inputs(
        input_ids_T=np.maximum(token_ids, 0),
        positions_T=positions,
        slot_mapping_T=blocks * block_size + positions % block_size,
        latest_T=np.where(token_ids == LATEST_TOKEN, slot_T, -1),
        query_lens=lens.tolist(),
        context_lens=context_lens.tolist(),
        block_tables_RB=slots.block_tables_SB[slot_R, :max_blocks],
        num_decode_rows=int((lens == 1).sum()),
        sampled_T=last_token_of_row[[row.samples for row in batch.rows]],
    )
