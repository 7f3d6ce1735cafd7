"""The step loop: schedule, submit, update, with up to `depth` steps in flight."""

import logging
import random
from collections import deque

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.batch import Executor, Pending
from octavo_engine.core.kv_cache import KVCache
from octavo_engine.core.request import Request
from octavo_engine.core.scheduler import Scheduler
from octavo_engine.core.slots import Slots
from octavo_engine.messages import AddRequest, EngineInfo, EngineStats, TokensReady

logger = logging.getLogger(__name__)

MAX_FAILURES_IN_A_ROW = 3
"""A device that is lost fails every step; then the process had better be restarted."""


class EngineCore:
    """Belongs to one thread. Takes requests, and yields their tokens step by step."""

    def __init__(
        self,
        info: EngineInfo,
        config: SchedulerConfig,
        executor: Executor,
        *,
        depth: int = 1,
        seed: int = 0,
    ) -> None:
        assert info.max_model_len <= info.num_blocks * info.block_size
        self.info = info
        slots = Slots(config.max_num_seqs, info.max_model_len, info.block_size, info.vocab_size)
        self.scheduler = Scheduler(config, KVCache(info.num_blocks, info.block_size, slots))
        self.executor = executor
        self.depth = depth
        self.num_steps = 0
        self._in_flight: deque[Pending] = deque()
        self._num_added = 0
        self._num_failures_in_a_row = 0
        self._seeds = random.Random(seed)  # noqa: S311  for sampling, not for secrets

    def add(self, message: AddRequest) -> TokensReady | None:
        """Queue a request; the answer, if any, is its last message: it cannot be served."""
        problem = self._problem_of(message)
        if problem is not None:
            return TokensReady(
                request_id=message.request_id, token_ids=(), finish_reason="error", error=problem
            )
        seed = message.sampling.seed
        request = Request.from_message(
            message,
            seed=self._seeds.getrandbits(63) if seed is None else seed,
            number=self._num_added,
            eos_token_ids=self.info.eos_token_ids,
            max_model_len=self.info.max_model_len,
        )
        self._num_added += 1
        self.scheduler.add(request)
        return None

    def abort(self, request_id: str) -> TokensReady | None:
        """End a request now; None where it is unknown, for it may just have ended."""
        return self.scheduler.abort(request_id)

    def has_work(self) -> bool:
        return bool(self.scheduler.requests or self._in_flight)

    def step(self) -> list[TokensReady]:
        batch = self.scheduler.schedule()
        if batch is not None:
            self._in_flight.append(self.executor.submit(batch))
            if len(self._in_flight) < self.depth:
                return []
        return self._update(self._in_flight.popleft()) if self._in_flight else []

    def stats(self) -> EngineStats:
        scheduler, pool = self.scheduler, self.scheduler.cache.pool
        counters = scheduler.counters
        return EngineStats(
            num_running=len(scheduler.slots.running),
            num_waiting=len(scheduler.admission.waiting),
            num_blocks=pool.num_blocks,
            num_used_blocks=pool.num_used,
            num_preemptions=counters.preemptions,
            num_steps=self.num_steps,
            prompt_tokens=counters.prompt_tokens,
            generation_tokens=counters.generation_tokens,
            prefix_cache_queries=counters.prefix_cache_queries,
            prefix_cache_hits=counters.prefix_cache_hits,
        )

    def _update(self, pending: Pending) -> list[TokensReady]:
        try:
            sampled = pending.result()
        except Exception:  # whatever failed in the forward, it ends the requests of this step alone
            logger.exception("step %d failed; its requests end with an error", self.num_steps)
            self._num_failures_in_a_row += 1
            if self._num_failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                raise
            return self.scheduler.fail("the engine failed while it computed this request; see its log")
        self._num_failures_in_a_row = 0
        self.num_steps += 1
        return self.scheduler.update(sampled)

    def _problem_of(self, message: AddRequest) -> str | None:
        prompt, generated, info = message.prompt_token_ids, message.generated_token_ids, self.info
        if message.request_id in self.scheduler.requests:
            return f"request id {message.request_id} is in use"
        if not prompt:
            return "the prompt has no tokens"
        if len(prompt) >= info.max_model_len:
            return f"the prompt has {len(prompt)} tokens; the context of {info.max_model_len} leaves no room"
        if message.sampling.max_tokens < 1:
            return f"max_tokens is {message.sampling.max_tokens}: must be at least 1"
        if not (min(prompt) >= 0 and max(prompt) < info.vocab_size):
            return f"the prompt has a token id outside the vocabulary of {info.vocab_size}"
        if generated and not (min(generated) >= 0 and max(generated) < info.vocab_size):
            return f"a generated token id is outside the vocabulary of {info.vocab_size}"
        if len(generated) >= min(message.sampling.max_tokens, info.max_model_len - len(prompt)):
            return f"{len(generated)} tokens are generated already: there is nothing left to generate"
        return None
