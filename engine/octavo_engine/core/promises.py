"""Which running request is about to compute which full block, so that others wait for it and share it."""

from collections.abc import Iterable

from octavo_engine.core.request import Request


class Promises:
    """A promise is kept when the block is indexed, and dropped when its owner stops running, whatever why."""

    def __init__(self) -> None:
        self.owners: dict[int, Request] = {}
        """By the block's chain hash. A collision makes somebody wait in vain for a while, and no worse."""
        self._hashes: dict[Request, set[int]] = {}

    def make(self, request: Request, chain_hashes: Iterable[int]) -> None:
        """What somebody else has promised already stays theirs."""
        new = {chain_hash for chain_hash in chain_hashes if chain_hash not in self.owners}
        if new:
            self._hashes[request] = new
            self.owners.update(dict.fromkeys(new, request))

    def keep(self, chain_hash: int) -> None:
        """The block can be found now, whoever computed it."""
        owner = self.owners.pop(chain_hash, None)
        if owner is not None:
            self._hashes[owner].discard(chain_hash)

    def drop(self, request: Request) -> None:
        for chain_hash in self._hashes.pop(request, ()):
            del self.owners[chain_hash]
