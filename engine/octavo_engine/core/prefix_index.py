"""Which cached block holds which tokens after which prefix.

Found by a chain of hashes, each over the hash before and the block's tokens; the first one starts from the
tenant's salt. A hash only finds: tokens and parent are compared on every hit, so that two prefixes whose
hashes collide are never taken for each other.
"""

from itertools import count
from typing import NamedTuple

Parent = int | str
"""The content that a block follows: its number, or for a first block the salt."""


def root_hash(salt: str) -> int:
    return hash(salt)


def chain_hash(parent_hash: int, tokens: bytes) -> int:
    return hash((parent_hash, tokens))


class CachedBlock(NamedTuple):
    """A full block with known content; `number` never comes again, so nothing follows a forgotten parent."""

    block_id: int
    number: int
    parent: Parent
    tokens: bytes
    chain_hash: int


class PrefixIndex:
    """Chains of full blocks; a block is in it at most once, and so is a content."""

    def __init__(self) -> None:
        self._by_hash: dict[int, CachedBlock] = {}
        self._by_block: dict[int, CachedBlock] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, block_id: int) -> bool:
        return block_id in self._by_block

    def find(self, chain_hash: int, parent: Parent, tokens: bytes) -> CachedBlock | None:
        cached = self._by_hash.get(chain_hash)
        if cached is None or cached.parent != parent or cached.tokens != tokens:
            return None
        return cached

    def insert(self, chain_hash: int, parent: Parent, tokens: bytes, block_id: int) -> CachedBlock:
        """Remember a computed block. Known content keeps its block; a stranger with this hash has to go."""
        known = self.find(chain_hash, parent, tokens)
        if known is not None:
            return known
        stranger = self._by_hash.get(chain_hash)
        if stranger is not None:
            del self._by_block[stranger.block_id]
        cached = CachedBlock(block_id, next(self._numbers), parent, tokens, chain_hash)
        self._by_hash[chain_hash] = self._by_block[block_id] = cached
        return cached

    def forget(self, block_id: int) -> None:
        """The block is about to be overwritten."""
        cached = self._by_block.pop(block_id, None)
        if cached is not None:
            del self._by_hash[cached.chain_hash]
