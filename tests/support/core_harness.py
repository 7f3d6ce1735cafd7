"""An EngineCore on a FakeExecutor, and the checks that hold for it between any two steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
from fake_executor import VOCAB_SIZE, FakeExecutor

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.batch import Batch
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.core.request import Request
from octavo_engine.messages import AddRequest, EngineInfo, SamplingParams, TokensReady


def make_core(
    *,
    num_blocks: int = 64,
    block_size: int = 4,
    max_model_len: int | None = None,
    max_num_seqs: int = 8,
    max_num_batched_tokens: int = 16,
    max_num_prefill_tokens: int = 1 << 20,
    depth: int = 1,
    eos_token_ids: tuple[int, ...] = (),
    fails: Callable[[Batch], bool] = lambda batch: False,
) -> EngineCore:
    info = EngineInfo(
        max_model_len=max_model_len or num_blocks * block_size,
        vocab_size=VOCAB_SIZE,
        block_size=block_size,
        num_blocks=num_blocks,
        dtype="float32",
        device="cpu",
        eos_token_ids=eos_token_ids,
    )
    executor = FakeExecutor(block_size, max_num_batched_tokens, max_num_seqs, fails)
    config = SchedulerConfig(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        max_num_prefill_tokens=max_num_prefill_tokens,
    )
    core = EngineCore(info, config, executor, depth=depth)
    executor.look = lambda batch: check_batch(core, batch)
    return core


def executor_of(core: EngineCore) -> FakeExecutor:
    assert isinstance(core.executor, FakeExecutor)
    return core.executor


def request(
    request_id: str,
    prompt: tuple[int, ...],
    max_tokens: int = 4,
    *,
    priority: int = 0,
    cache_salt: str = "",
    generated: tuple[int, ...] = (),
    **sampling: Any,
) -> AddRequest:
    return AddRequest(
        request_id=request_id,
        prompt_token_ids=prompt,
        sampling=_sampling(max_tokens, **sampling),
        arrival_time=0.0,
        priority=priority,
        cache_salt=cache_salt,
        generated_token_ids=generated,
    )


def _sampling(max_tokens: int, **sampling: Any) -> SamplingParams:
    return SamplingParams(**{"max_tokens": max_tokens, "temperature": 0.0, **sampling})


def check_batch(core: EngineCore, batch: Batch) -> None:
    """Nobody writes into a block that another holds, or that the index offers to others.

    And penalties find all the tokens that they count.
    """
    pool, slots = core.scheduler.cache.pool, batch.slots
    slot_N = batch.slot_N
    is_penalised_N = slots.presence_penalty_S[slot_N] != 0
    is_known_N = slots.num_tokens_S[slot_N] == batch.context_len_R[batch.sampled_row_N]
    assert (is_known_N | ~is_penalised_N).all(), "a penalty lacks a token that is in flight"
    for block_id in np.unique(batch.slot_mapping_T // core.info.block_size).tolist():
        assert pool.num_holders_B[block_id] == 1, f"block {block_id} is written and shared"
        assert block_id not in pool.prefixes, f"block {block_id} is written and indexed"


def check_blocks(core: EngineCore) -> None:
    """Every block is free or held exactly as often as tables name it; promises have running owners."""
    scheduler, pool = core.scheduler, core.scheduler.cache.pool
    slots = scheduler.slots
    tables = [table_of(core, running) for running in slots.running]
    held = [block_id for table in tables for block_id in table]
    assert {block_id for block_id in range(pool.num_blocks) if not pool.is_free(block_id)} == set(held)
    assert pool.num_holders_B.tolist() == [held.count(block_id) for block_id in range(pool.num_blocks)]
    assert pool.num_used == len(set(held))
    assert all(block in pool.prefixes for block in set(held) if held.count(block) > 1)
    assert set(scheduler.cache.promises.owners.values()) <= set(slots.running)
    assert not set(slots.running) & set(scheduler.admission.waiting)
    assert {r.request_id for r in (*slots.running, *scheduler.admission.waiting)} == set(scheduler.requests)


def table_of(core: EngineCore, running: Request) -> list[int]:
    assert running.slot is not None
    table: list[int] = core.scheduler.slots.table(running.slot).tolist()
    return table


def run_to_end(core: EngineCore, max_steps: int = 5000) -> dict[str, list[TokensReady]]:
    """Step until nothing is left; all messages by request."""
    messages: dict[str, list[TokensReady]] = {}
    for _ in range(max_steps):
        if not core.has_work():
            return messages
        for message in core.step():
            messages.setdefault(message.request_id, []).append(message)
        check_blocks(core)
    raise AssertionError(f"not done after {max_steps} steps")


def tokens_of(messages: list[TokensReady]) -> list[int]:
    return [token_id for message in messages for token_id in message.token_ids]
