"""Which tokens of which requests the next step computes.

Waiting requests join where they fit, then the step's budget of tokens is divided among all that run. Where
blocks run out the cheapest of the least important is sent back to wait, and is computed again later.

Why nothing waits for ever: the most important running request is never a victim (`preemption`), and alone it
fits, for no request is longer than the cache. Where none runs all blocks are free, so the first waiting one
joins (`admission`).
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.admission import Admission
from octavo_engine.core.batch import INVALID_TOKEN, Batch, Int32s, SampledTokens
from octavo_engine.core.budget import divide_budget
from octavo_engine.core.inputs import make_batch
from octavo_engine.core.kv_cache import KVCache, Prefix
from octavo_engine.core.outputs import add_logprobs, last_message, token_messages
from octavo_engine.core.preemption import choose_victim
from octavo_engine.core.request import Request
from octavo_engine.core.slots import Slots
from octavo_engine.core.step_in_flight import StepInFlight, only
from octavo_engine.messages import FinishReason, TokensReady

NOT_A_NUMBER = "the model's output for this request is not a number"


@dataclass(slots=True)
class Counters:
    """They only grow."""

    preemptions: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_cache_queries: int = 0
    prefix_cache_hits: int = 0


class Scheduler:
    """Owns all requests; `schedule` may run several times before the first `update` (steps in flight)."""

    def __init__(self, config: SchedulerConfig, cache: KVCache) -> None:
        self.config = config
        self.cache = cache
        self.slots: Slots = cache.slots
        self.admission = Admission(config, cache)
        self.requests: dict[str, Request] = {}
        self.counters = Counters()
        self._in_flight: deque[StepInFlight] = deque()

    def add(self, request: Request) -> None:
        self.requests[request.request_id] = request
        self.admission.add(request)

    def abort(self, request_id: str) -> TokensReady | None:
        request = self.requests.get(request_id)
        return None if request is None else self._finish(request, "abort")

    def schedule(self) -> Batch | None:
        """The next step; None when nothing can go on before a step in flight has ended."""
        while joining := self.admission.next_to_join():
            self._join(*joining)
        slot_R, num_new_R = self._divide_and_make_room()
        if not len(slot_R):
            return None
        batch = make_batch(self.slots, slot_R, num_new_R, self.cache.block_size)
        self.slots.advance(batch)
        self._in_flight.append(StepInFlight.of(batch, self.slots))
        return batch

    def update(self, sampled: SampledTokens) -> list[TokensReady]:
        """Take in the tokens of the oldest step in flight."""
        step = self._in_flight.popleft()
        is_current_R = step.is_current(self.slots)
        size, slot_R = self.cache.block_size, step.batch.slot_R
        is_full_R = step.batch.context_len_R // size > self.slots.num_indexed_S[slot_R]
        (full,) = np.nonzero(is_full_R & is_current_R)
        ends = step.batch.context_len_R[full].tolist()
        for request, end in zip(self.slots.running_in(slot_R[full]), ends, strict=True):
            self.cache.index_computed(request, end)
        if is_current_R.all():
            return self._take_tokens(step.batch.slot_N, sampled)
        is_current_N = is_current_R[step.batch.sampled_row_N]
        return self._take_tokens(step.batch.slot_N[is_current_N], only(sampled, is_current_N))

    def fail(self, message: str) -> list[TokensReady]:
        """The oldest step in flight failed: its requests end, all others go on."""
        step = self._in_flight.popleft()
        requests = self.slots.running_in(step.batch.slot_R[step.is_current(self.slots)])
        return [self._finish(request, "error", error=message) for request in requests]

    def _join(self, request: Request, prefix: Prefix) -> None:
        self.cache.start(request, prefix)
        if request.num_cached_tokens is None:
            num_cached = len(prefix.block_ids) * self.cache.block_size
            request.num_cached_tokens = min(num_cached, request.num_prompt_tokens)
            self.counters.prompt_tokens += request.num_prompt_tokens
            self.counters.prefix_cache_queries += request.num_prompt_tokens
            self.counters.prefix_cache_hits += request.num_cached_tokens

    def _divide_and_make_room(self) -> tuple[Int32s, Int32s]:
        """Which slots go on by how many tokens; whoever has to go so that these have room is gone."""
        while True:
            slot_R, num_new_R = divide_budget(self.slots, self.config)
            if self.cache.grow(slot_R, num_new_R):
                return slot_R, num_new_R
            self._preempt(choose_victim(self.slots, self.cache.pool.num_holders_B, self.cache.block_size))

    def _take_tokens(self, slot_N: Int32s, sampled: SampledTokens) -> list[TokensReady]:
        is_valid_N = sampled.token_N != INVALID_TOKEN
        if is_valid_N.all():
            return self._append_tokens(slot_N, sampled)
        failed = [
            self._finish(request, "error", error=NOT_A_NUMBER)
            for request in self.slots.running_in(slot_N[~is_valid_N])
        ]
        return failed + self._append_tokens(slot_N[is_valid_N], only(sampled, is_valid_N))

    def _append_tokens(self, slot_N: Int32s, sampled: SampledTokens) -> list[TokensReady]:
        """A message for each token; the rows that end are few, and looked at one by one."""
        slots, token_N = self.slots, sampled.token_N
        num_tokens_N = slots.append(slot_N, token_N)
        self.counters.generation_tokens += len(token_N)
        requests = slots.running_in(slot_N)
        messages = token_messages(requests, token_N, num_tokens_N - slots.shared.num_prompt_tokens_S[slot_N])
        if sampled.logprobs is not None:
            add_logprobs(messages, slots.shared.num_logprobs_S[slot_N], sampled.logprobs)
        is_stop_N = slots.is_stop(slot_N, token_N)  # masked by the worker where the row may not stop
        is_over_N = is_stop_N | (num_tokens_N >= slots.max_num_tokens_S[slot_N])
        for n in np.nonzero(is_over_N)[0].tolist():
            reason: FinishReason = "stop" if is_stop_N[n] else "length"
            last = self._finish(requests[n], reason)
            messages[n] = (
                replace(last, stop_token_id=int(token_N[n]))
                if is_stop_N[n]
                else replace(messages[n], finish_reason=reason)
            )
        return messages

    def _preempt(self, request: Request) -> None:
        """Send a running request back to wait; a token that is on its way will be sampled again, the same."""
        self.cache.end(request)
        request.num_preemptions += 1
        self.counters.preemptions += 1
        self.admission.preempted()
        self.admission.add(request)

    def _finish(self, request: Request, reason: FinishReason, *, error: str | None = None) -> TokensReady:
        if request.slot is None:
            self.admission.remove(request)
        else:
            self.cache.end(request)
            self.admission.ended()
        del self.requests[request.request_id]
        return last_message(request, reason, error)
