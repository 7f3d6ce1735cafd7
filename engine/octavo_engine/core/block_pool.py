"""The blocks of the KV cache: who holds them, and which are free."""

from collections import OrderedDict
from collections.abc import Sequence

from octavo_engine.core.prefix_index import PrefixIndex


class BlockPool:
    """Reference-counted block ids. A free block keeps its content, to be found by prefix, until handed out.

    Free blocks are handed out in the order in which they became free: least recently used first.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.prefixes = PrefixIndex()
        self._num_holders = [0] * num_blocks
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(num_blocks))

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_used(self) -> int:
        return self.num_blocks - len(self._free)

    def is_free(self, block_id: int) -> bool:
        return block_id in self._free

    def allocate(self, num_blocks: int) -> list[int]:
        """Take that many free blocks; the caller has looked at `num_free`."""
        assert num_blocks <= len(self._free), f"{num_blocks} blocks wanted, {len(self._free)} free"
        taken = [self._free.popitem(last=False)[0] for _ in range(num_blocks)]
        for block_id in taken:
            self.prefixes.forget(block_id)
            self._num_holders[block_id] = 1
        return taken

    def share(self, block_ids: Sequence[int]) -> None:
        """Hold blocks with known content once more, whether another request holds them or they are free."""
        for block_id in block_ids:
            self._free.pop(block_id, None)
            self._num_holders[block_id] += 1

    def release(self, block_ids: Sequence[int]) -> None:
        """Let go of a request's blocks, the last first: a prefix is worth more than what follows it."""
        for block_id in reversed(block_ids):
            assert self._num_holders[block_id] > 0, f"block {block_id} released twice"
            self._num_holders[block_id] -= 1
            if self._num_holders[block_id] == 0:
                self._free[block_id] = None
