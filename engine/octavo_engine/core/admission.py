"""The waiting requests, and who of them may join the running ones without somebody being thrown out soon."""

from bisect import insort

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.budget import has_budget_left
from octavo_engine.core.kv_cache import KVCache, Prefix
from octavo_engine.core.request import Request, rank_of

MAX_BLOCKS_AHEAD = 16

MAX_PASSED = 32
"""Waiting requests that a step looks past: each costs a walk along its prompt, while all who decode wait."""


class Admission:
    """Owns the queue, the most important first, then by arrival; a preempted request keeps its place.

    A request joins if all its known tokens fit beside those of the running ones and beside `num_blocks_ahead`
    blocks of new tokens for each. Let in for less, it would soon be thrown out and computed twice. Where that
    happened all the same the reserve doubles; it shrinks by a block whenever a request ends.

    Where memory is short nobody overtakes, so that a long prompt is not passed by short ones for ever. Only
    one that waits for blocks which another is about to compute is passed: it waits for a running request,
    which goes on or stops, and stands first in line when that is done. A step passes `MAX_PASSED` at most.
    """

    def __init__(self, config: SchedulerConfig, cache: KVCache) -> None:
        self.waiting: list[Request] = []
        self.num_blocks_ahead = 1
        self._config = config
        self._cache = cache

    def add(self, request: Request) -> None:
        insort(self.waiting, request, key=rank_of)

    def remove(self, request: Request) -> None:
        self.waiting.remove(request)

    def preempted(self) -> None:
        self.num_blocks_ahead = min(self.num_blocks_ahead * 2, MAX_BLOCKS_AHEAD)

    def ended(self) -> None:
        self.num_blocks_ahead = max(self.num_blocks_ahead - 1, 1)

    def next_to_join(self) -> tuple[Request, Prefix] | None:
        """Take the first that may join off the queue, with the prefix that it finds in the cache."""
        if not self._cache.slots.num_free:
            return None
        for index, request in enumerate(self.waiting[:MAX_PASSED]):
            if not has_budget_left(self._cache.slots, self._config, request.rank):
                return None
            prefix = self._cache.find_prefix(request)
            if prefix is None:
                continue
            if not self._fits(request, prefix):
                return None
            del self.waiting[index]
            return request, prefix
        return None

    def _fits(self, request: Request, prefix: Prefix) -> bool:
        cache = self._cache
        soon = len(request.token_L) + self.num_blocks_ahead * cache.block_size
        num_new = cache.num_blocks_of(min(soon, request.max_num_tokens)) - len(prefix.block_ids)
        num_revived = sum(map(cache.pool.is_free, prefix.block_ids))
        num_reserved = cache.num_blocks_soon(self.num_blocks_ahead)
        return num_new + num_revived + num_reserved <= cache.pool.num_free
