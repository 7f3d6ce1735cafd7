"""What the worker remembers of each running request between steps, as arrays indexed by slot."""

from collections.abc import Sequence

import numpy as np

from octavo_engine.core.batch import Row


class SlotTable:
    """Block tables and sampling settings; changed by the differences that a batch's rows bring."""

    def __init__(self, max_num_seqs: int, max_blocks: int, vocab_size: int) -> None:
        self.block_tables_SB = np.zeros((max_num_seqs, max_blocks), dtype=np.int64)
        self.temperature_S = np.zeros(max_num_seqs, dtype=np.float32)
        self.top_p_S = np.ones(max_num_seqs, dtype=np.float32)
        self.top_k_S = np.zeros(max_num_seqs, dtype=np.int64)
        self.seed_S = np.zeros(max_num_seqs, dtype=np.uint64)
        self.stop_token_ids: list[list[int]] = [[] for _ in range(max_num_seqs)]
        self._vocab_size = vocab_size

    def apply(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.start is not None:
                self._start(row.slot, row)
            if row.new_block_ids:
                end = row.num_known_blocks + len(row.new_block_ids)
                self.block_tables_SB[row.slot, row.num_known_blocks : end] = row.new_block_ids

    def _start(self, slot: int, row: Row) -> None:
        assert row.start is not None
        sampling = row.start.sampling
        self.temperature_S[slot] = sampling.temperature
        self.top_p_S[slot] = sampling.top_p
        self.top_k_S[slot] = sampling.top_k
        self.seed_S[slot] = row.start.seed % 2**64
        self.stop_token_ids[slot] = [i for i in row.start.stop_token_ids if 0 <= i < self._vocab_size]
