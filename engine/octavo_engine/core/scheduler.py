"""Which tokens of which requests the next step computes.

First the running requests go on, then waiting ones join, in order of arrival, within the budget of tokens a
step. Where blocks run out the request that joined last is sent back to wait and is recomputed later.

Why nothing can wait for ever: the first running request is never a victim of another, and alone it fits, for
no request is longer than the cache. Where none runs all blocks are free, so the first waiting one joins.
"""

from collections import deque

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.batch import INVALID_TOKEN, LATEST_TOKEN, Batch, Row, SampledTokens, SlotStart
from octavo_engine.core.kv_cache import KVCache
from octavo_engine.core.request import Request
from octavo_engine.messages import FinishReason, TokensReady


class Scheduler:
    """Owns all requests; `schedule` may run several times before the first `update` (steps in flight)."""

    def __init__(self, config: SchedulerConfig, cache: KVCache) -> None:
        self.config = config
        self.cache = cache
        self.requests: dict[str, Request] = {}
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.num_preemptions = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_cache_queries = 0
        self.prefix_cache_hits = 0
        self._free_slots = list(reversed(range(config.max_num_seqs)))
        self._in_flight: deque[list[_ScheduledRow]] = deque()

    def add(self, request: Request) -> None:
        self.requests[request.request_id] = request
        self.waiting.append(request)

    def abort(self, request_id: str) -> TokensReady | None:
        request = self.requests.get(request_id)
        return None if request is None else self._finish(request, "abort")

    def schedule(self) -> Batch:
        """The next step's rows; empty when nothing can go on before a step in flight has ended."""
        scheduled: list[_ScheduledRow] = []
        budget = self.config.max_num_batched_tokens
        budget = self._schedule_running(scheduled, budget)
        self._schedule_waiting(scheduled, budget)
        if scheduled:
            self._in_flight.append(scheduled)
        return Batch(tuple(item.row for item in scheduled))

    def update(self, sampled: SampledTokens) -> list[TokensReady]:
        """Take in the tokens of the oldest step in flight."""
        outputs: list[TokensReady] = []
        tokens = iter(sampled.token_ids)
        for item in self._in_flight.popleft():
            token_id = next(tokens) if item.row.samples else None
            request = item.request
            if request.finish_reason is not None:
                continue  # ended or aborted while this step was in flight
            if request.num_preemptions == item.num_preemptions:
                self.cache.index_computed(request, item.row.first_position + len(item.row.token_ids))
            if token_id is not None:
                request.num_pending_tokens -= 1
                outputs.append(self._take_token(request, token_id))
        return outputs

    def fail(self, message: str) -> list[TokensReady]:
        """The oldest step in flight failed: its requests end, all others go on."""
        return [
            self._finish(item.request, "error", error=message)
            for item in self._in_flight.popleft()
            if item.request.finish_reason is None
        ]

    def _schedule_running(self, scheduled: "list[_ScheduledRow]", budget: int) -> int:
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            num_tokens = min(request.num_uncomputed_tokens, budget)
            if num_tokens > 0:
                if not self._make_room(request, request.num_computed_tokens + num_tokens):
                    break
                scheduled.append(self._row(request, num_tokens))
                budget -= num_tokens
            index += 1
        return budget

    def _make_room(self, request: Request, num_tokens: int) -> bool:
        """Grow the table, at the cost of later requests; False when the request itself was the last."""
        while not self.cache.grow(request, num_tokens):
            victim = self.running[-1]
            self._preempt(victim)
            if victim is request:
                return False
        return True

    def _schedule_waiting(self, scheduled: "list[_ScheduledRow]", budget: int) -> None:
        num_promised = sum(map(self._num_blocks_soon, self.running)) if self.waiting else 0
        while self.waiting and budget > 0 and self._free_slots:
            request = self.waiting[0]
            if request.num_pending_tokens or not self._admit(request, num_promised):
                break  # in order of arrival: nobody overtakes
            self.waiting.popleft()
            num_tokens = min(request.num_uncomputed_tokens, budget)
            grown = self.cache.grow(request, request.num_computed_tokens + num_tokens)
            assert grown
            num_promised += self._num_blocks_soon(request)
            scheduled.append(self._row(request, num_tokens))
            budget -= num_tokens

    def _num_blocks_soon(self, request: Request) -> int:
        """Blocks that a running request needs for the rest of its prompt and a block of new tokens."""
        soon = min(request.num_tokens + self.cache.block_size, request.max_num_tokens)
        return self.cache.num_missing_blocks(request, soon)

    def _admit(self, request: Request, num_promised: int) -> bool:
        """Give the request a slot and its cached prefix if all its tokens fit beside what others still need.

        Let in for less, it would soon be thrown out again and computed twice.
        """
        blocks, parent = self.cache.cached_prefix(request)
        num_needed = self.cache.num_missing_blocks(request, request.num_tokens) - len(blocks)
        num_revived = sum(self.cache.pool.is_free(block_id) for block_id in blocks)
        if num_needed + num_revived + num_promised > self.cache.pool.num_free:
            return False
        self.cache.take_prefix(request, blocks, parent)
        if request.num_cached_tokens is None:
            request.num_cached_tokens = request.num_computed_tokens
            self.prompt_tokens += request.num_prompt_tokens
            self.prefix_cache_queries += request.num_prompt_tokens
            self.prefix_cache_hits += request.num_computed_tokens
        request.slot = self._free_slots.pop()
        self.running.append(request)
        return True

    def _row(self, request: Request, num_tokens: int) -> "_ScheduledRow":
        assert request.slot is not None
        first, end = request.num_computed_tokens, request.num_computed_tokens + num_tokens
        known = tuple(request.token_ids[first:end])
        is_first_row = request.num_sent_blocks == 0
        row = Row(
            request_id=request.request_id,
            slot=request.slot,
            start=self._slot_start(request) if is_first_row else None,
            token_ids=known if len(known) == num_tokens else (*known, LATEST_TOKEN),
            first_position=first,
            num_known_blocks=request.num_sent_blocks,
            new_block_ids=tuple(request.block_table[request.num_sent_blocks :]),
            samples=end == request.num_tokens,
            num_generated=request.num_tokens - request.num_prompt_tokens,
            may_stop=request.num_tokens - request.num_prompt_tokens >= request.sampling.min_tokens,
        )
        request.num_computed_tokens = end
        request.num_sent_blocks = len(request.block_table)
        request.num_pending_tokens += row.samples
        return _ScheduledRow(request, row)

    def _slot_start(self, request: Request) -> SlotStart:
        return SlotStart(
            sampling=request.sampling,
            seed=request.seed,
            stop_token_ids=tuple(sorted(request.stop_token_ids)),
        )

    def _take_token(self, request: Request, token_id: int) -> TokensReady:
        if token_id == INVALID_TOKEN:
            return self._finish(request, "error", error="the model's output for this request is not a number")
        request.token_ids.append(token_id)
        self.generation_tokens += 1
        if token_id in request.stop_token_ids:  # masked by the worker where the row may not stop
            return self._finish(request, "stop")
        if len(request.token_ids) >= request.max_num_tokens:
            return self._finish(request, "length", token_ids=(token_id,))
        return self._message(request, token_ids=(token_id,))

    def _preempt(self, request: Request) -> None:
        """Send a running request back to the head of the queue, to be computed again from its tokens."""
        self._leave(request)
        request.num_computed_tokens = 0
        request.num_preemptions += 1
        self.num_preemptions += 1
        self.waiting.appendleft(request)

    def _finish(
        self,
        request: Request,
        reason: FinishReason,
        *,
        token_ids: tuple[int, ...] = (),
        error: str | None = None,
    ) -> TokensReady:
        if request.slot is None:
            self.waiting.remove(request)
        else:
            self._leave(request)
        request.finish_reason = reason
        del self.requests[request.request_id]
        return self._message(request, token_ids=token_ids, error=error)

    def _leave(self, request: Request) -> None:
        assert request.slot is not None
        self.running.remove(request)
        self._free_slots.append(request.slot)
        request.slot = None
        self.cache.release(request)

    def _message(
        self, request: Request, *, token_ids: tuple[int, ...], error: str | None = None
    ) -> TokensReady:
        return TokensReady(
            request_id=request.request_id,
            token_ids=token_ids,
            num_generated_tokens=request.num_generated_tokens,
            finish_reason=request.finish_reason,
            num_cached_tokens=request.num_cached_tokens or 0,
            error=error,
        )


class _ScheduledRow:
    """A row and whose it is; `num_preemptions` tells whether its blocks are still the request's."""

    __slots__ = ("num_preemptions", "request", "row")

    def __init__(self, request: Request, row: Row) -> None:
        self.request = request
        self.row = row
        self.num_preemptions = request.num_preemptions
