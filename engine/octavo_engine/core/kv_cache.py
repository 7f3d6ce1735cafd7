"""Block tables: the blocks that requests' tokens need, and those prefixes that are cached or on their way."""

from dataclasses import dataclass

import numpy as np

from octavo_engine.core.batch import Int32s
from octavo_engine.core.block_pool import BlockPool
from octavo_engine.core.prefix_index import Parent
from octavo_engine.core.promises import Promises
from octavo_engine.core.request import Request
from octavo_engine.core.slots import Slots


@dataclass(frozen=True, slots=True)
class Prefix:
    """The cached blocks that a waiting request begins with, and the content of the last."""

    block_ids: list[int]
    parent: Parent


class KVCache:
    """The pool seen by requests. A table only ever grows at its end, until all of it is let go."""

    def __init__(self, num_blocks: int, block_size: int, slots: Slots) -> None:
        self.pool = BlockPool(num_blocks)
        self.block_size = block_size
        self.slots = slots
        self.promises = Promises()

    def num_blocks_of(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_size)

    def grow(self, slot_R: Int32s, num_new_R: Int32s) -> bool:
        """Make room for each slot's new tokens; False, and nothing happened, when too few blocks are free."""
        slots = self.slots
        held_R = slots.num_blocks_S[slot_R]
        wanted_R = -(-(slots.num_computed_S[slot_R] + num_new_R) // self.block_size)
        missing_R = wanted_R - held_R
        total = int(missing_R.sum())
        if total > self.pool.num_free:
            return False
        if total:
            ends_R = missing_R.cumsum()
            column = np.arange(total) + np.repeat(held_R - (ends_R - missing_R), missing_R)
            block_ids = self.pool.allocate(total)
            slots.shared.block_table_SB[np.repeat(slot_R, missing_R), column] = block_ids
            slots.num_blocks_S[slot_R] = wanted_R
        return True

    def num_blocks_soon(self, num_blocks_ahead: int) -> int:
        """Blocks that running requests still lack for their known tokens and some blocks of new ones each."""
        slots, slot_R = self.slots, self.slots.order_R
        soon_R = slots.num_expected_S[slot_R] + num_blocks_ahead * self.block_size
        soon_R = np.minimum(soon_R, slots.max_num_tokens_S[slot_R])
        lacking_R = -(-soon_R // self.block_size) - slots.num_blocks_S[slot_R]
        return int(np.maximum(lacking_R, 0).sum())

    def find_prefix(self, request: Request) -> Prefix | None:
        """The cached prefix of a waiting request; None while a request as important computes what follows.

        One token at least is left out, for its logits are wanted.
        """
        if request.awaited_hash is not None and self._awaits(request, request.awaited_hash):
            return None
        block_ids: list[int] = []
        parent: Parent = request.cache_salt
        for index in range((len(request.token_L) - 1) // self.block_size):
            chain_hash = request.block_hash(index, self.block_size)
            cached = self.pool.prefixes.find(chain_hash, parent, request.block_tokens(index, self.block_size))
            if cached is None:
                if self._awaits(request, chain_hash):
                    request.awaited_hash = chain_hash
                    return None
                break
            block_ids.append(cached.block_id)
            parent = cached.number
        return Prefix(block_ids, parent)

    def start(self, request: Request, prefix: Prefix) -> None:
        """Give the request a slot with its cached prefix; it promises the full blocks that it computes."""
        self.pool.share(prefix.block_ids)
        request.parent = prefix.parent
        num_full = len(request.token_L) // self.block_size
        promised = [request.block_hash(i, self.block_size) for i in range(len(prefix.block_ids), num_full)]
        self.promises.make(request, promised)
        self.slots.enter(request, prefix.block_ids, len(prefix.block_ids) * self.block_size)

    def end(self, request: Request) -> None:
        """Take the slot back, let go of the blocks and of the promises to compute some."""
        slot = request.slot
        assert slot is not None
        self.promises.drop(request)
        self.pool.release(self.slots.table(slot))
        self.slots.leave(request)

    def index_computed(self, request: Request, num_computed_tokens: int) -> None:
        """Make the full blocks below `num_computed_tokens` findable; their step must have ended well."""
        slot, size = request.slot, self.block_size
        assert slot is not None
        table, num_full = self.slots.shared.block_table_SB[slot], num_computed_tokens // size
        for index in range(int(self.slots.num_indexed_S[slot]), num_full):
            chain_hash = request.block_hash(index, size)
            tokens = request.block_tokens(index, size)
            cached = self.pool.prefixes.insert(chain_hash, request.parent, tokens, int(table[index]))
            request.parent = cached.number
            self.promises.keep(chain_hash)
        self.slots.num_indexed_S[slot] = num_full

    def _awaits(self, request: Request, chain_hash: int) -> bool:
        owner = self.promises.owners.get(chain_hash)
        return owner is not None and owner.priority <= request.priority
