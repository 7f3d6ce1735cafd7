"""Which cached block holds which tokens after which prefix.

A key is (number of the parent's content, tokens of the block): a chain with exact comparison, so that two
prefixes can never be taken for each other as they could by their hashes alone.
"""

from collections.abc import Iterator
from itertools import count

PrefixKey = tuple[int, tuple[int, ...]]

ROOT = 0


class PrefixIndex:
    """Maps chains of full blocks to block ids; a block is in it at most once."""

    def __init__(self) -> None:
        self._entries: dict[PrefixKey, tuple[int, int]] = {}  # -> block id, number of the content
        self._key_of_block: dict[int, PrefixKey] = {}
        self._numbers: Iterator[int] = count(ROOT + 1)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, parent: int, tokens: tuple[int, ...]) -> tuple[int, int] | None:
        """The block with `tokens` after `parent`, and its number as parent of the next."""
        return self._entries.get((parent, tokens))

    def insert(self, parent: int, tokens: tuple[int, ...], block_id: int) -> int:
        """Remember a computed block; where its content is known already, that entry stays."""
        entry = self._entries.get((parent, tokens))
        if entry is None:
            entry = self._entries[parent, tokens] = (block_id, next(self._numbers))
            self._key_of_block[block_id] = (parent, tokens)
        return entry[1]

    def forget(self, block_id: int) -> None:
        """The block is about to be overwritten."""
        key = self._key_of_block.pop(block_id, None)
        if key is not None:
            del self._entries[key]
