"""Who has to go when blocks run out; pure."""

import numpy as np

from octavo_engine.core.batch import Int32s
from octavo_engine.core.request import Request
from octavo_engine.core.slots import Slots


def choose_victim(slots: Slots, num_holders_B: Int32s, block_size: int) -> Request:
    """Among the running requests of the lowest priority, the cheapest to compute again per block it frees.

    The most important of all is never chosen. So it always goes on, and when it has ended another is the most
    important: whatever is thrown out, everyone's turn comes.
    """
    lowest = slots.running[-1].priority
    candidates = [request for request in slots.running[1:] if request.priority == lowest]
    assert candidates, "a request alone always fits"
    candidates.reverse()  # of equals, the one that came last
    slot_C = np.array([request.slot for request in candidates])
    num_blocks_C = slots.num_blocks_S[slot_C]
    columns = np.arange(num_blocks_C.max(initial=0))
    holders_CB = num_holders_B[slots.shared.block_table_SB[slot_C][:, columns]]
    frees_C = ((holders_CB == 1) & (columns < num_blocks_C[:, None])).sum(axis=1)
    recomputed_C = slots.num_computed_S[slot_C] - (num_blocks_C - frees_C) * block_size
    cost_C = np.where(frees_C > 0, recomputed_C / np.maximum(frees_C, 1), np.inf)
    return candidates[int(cost_C.argmin())]
