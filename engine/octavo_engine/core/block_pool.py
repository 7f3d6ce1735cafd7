"""The blocks of the KV cache: how many hold each, and which are free."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from octavo_engine.core.batch import Int32s
from octavo_engine.core.prefix_index import PrefixIndex


class BlockPool:
    """Reference-counted block ids. A free block keeps its content, to be found by prefix, until handed out.

    Blocks without content worth keeping are handed out first, then the least recently used cached ones.

    Why nothing is ever copied on a write: only full blocks are indexed, only indexed blocks are shared, and
    tables grow at their end. So a block that somebody writes to has one holder and is not in the index.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.prefixes = PrefixIndex()
        self.num_holders_B = np.zeros(num_blocks, dtype=np.int32)
        self._empty = list(reversed(range(num_blocks)))
        self._evictable: OrderedDict[int, None] = OrderedDict()

    @property
    def num_free(self) -> int:
        return len(self._empty) + len(self._evictable)

    @property
    def num_used(self) -> int:
        return self.num_blocks - self.num_free

    def is_free(self, block_id: int) -> bool:
        return not self.num_holders_B[block_id]

    def allocate(self, num_blocks: int) -> Int32s:
        """Take that many free blocks; the caller has looked at `num_free`."""
        assert num_blocks <= self.num_free, f"{num_blocks} blocks wanted, {self.num_free} free"
        taken = np.fromiter((self._take() for _ in range(num_blocks)), np.int32, num_blocks)
        self.num_holders_B[taken] = 1
        return taken

    def share(self, block_ids: Sequence[int]) -> None:
        """Hold indexed blocks once more, whether another request holds them or they are free."""
        for block_id in block_ids:
            assert block_id in self.prefixes, f"block {block_id} is not full, or not computed yet"
            self._evictable.pop(block_id, None)
            self.num_holders_B[block_id] += 1

    def release(self, block_ids: Int32s) -> None:
        """Let go of a request's table, its end first: a prefix is worth more than what follows it."""
        assert (self.num_holders_B[block_ids] > 0).all(), f"one of the blocks {block_ids} released twice"
        self.num_holders_B[block_ids] -= 1
        for block_id in reversed(block_ids[self.num_holders_B[block_ids] == 0].tolist()):
            if block_id in self.prefixes:
                self._evictable[block_id] = None
            else:
                self._empty.append(block_id)

    def _take(self) -> int:
        if self._empty:
            return self._empty.pop()
        block_id, _ = self._evictable.popitem(last=False)
        self.prefixes.forget(block_id)
        return block_id
