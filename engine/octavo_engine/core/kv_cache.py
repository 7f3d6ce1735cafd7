"""Block tables: the blocks that requests' tokens need, and those prefixes that are cached already."""

from octavo_engine.core.block_pool import BlockPool
from octavo_engine.core.prefix_index import ROOT
from octavo_engine.core.request import Request


class KVCache:
    """The pool seen by requests. A table only ever grows at its end, until all of it is let go."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.pool = BlockPool(num_blocks)
        self.block_size = block_size

    def num_missing_blocks(self, request: Request, num_tokens: int) -> int:
        """Blocks to add to the table so that it holds `num_tokens`."""
        return max(0, -(-num_tokens // self.block_size) - len(request.block_table))

    def grow(self, request: Request, num_tokens: int) -> bool:
        """Make room for `num_tokens`; False, and nothing happened, when too few blocks are free."""
        num_missing = self.num_missing_blocks(request, num_tokens)
        if num_missing > self.pool.num_free:
            return False
        request.block_table += self.pool.allocate(num_missing)
        return True

    def release(self, request: Request) -> None:
        self.pool.release(request.block_table)
        request.block_table = []
        request.num_sent_blocks = 0
        request.prefix_parent = ROOT
        request.num_indexed_blocks = 0

    def cached_prefix(self, request: Request) -> tuple[list[int], int]:
        """The cached blocks that a request without blocks begins with, and the content number of the last.

        One token at least is left out, for its logits are wanted.
        """
        blocks: list[int] = []
        parent = ROOT
        for index in range((len(request.token_ids) - 1) // self.block_size):
            entry = self.pool.prefixes.find(parent, self._tokens_of_block(request, index))
            if entry is None:
                break
            block_id, parent = entry
            blocks.append(block_id)
        return blocks, parent

    def take_prefix(self, request: Request, blocks: list[int], parent: int) -> None:
        self.pool.share(blocks)
        request.block_table = list(blocks)
        request.prefix_parent = parent
        request.num_indexed_blocks = len(blocks)
        request.num_computed_tokens = len(blocks) * self.block_size

    def index_computed(self, request: Request, num_computed_tokens: int) -> None:
        """Make the full blocks below `num_computed_tokens` findable; their step must have ended well."""
        for index in range(request.num_indexed_blocks, num_computed_tokens // self.block_size):
            request.prefix_parent = self.pool.prefixes.insert(
                request.prefix_parent, self._tokens_of_block(request, index), request.block_table[index]
            )
            request.num_indexed_blocks = index + 1

    def _tokens_of_block(self, request: Request, index: int) -> tuple[int, ...]:
        return tuple(request.token_ids[index * self.block_size : (index + 1) * self.block_size])
