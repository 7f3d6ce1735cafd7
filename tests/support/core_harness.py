"""An EngineCore on a FakeExecutor, and the checks that hold for it between any two steps."""

from collections.abc import Callable

from fake_executor import VOCAB_SIZE, FakeExecutor

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.batch import Batch
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.messages import AddRequest, EngineInfo, SamplingParams, TokensReady


def make_core(
    *,
    num_blocks: int = 64,
    block_size: int = 4,
    max_model_len: int | None = None,
    max_num_seqs: int = 8,
    max_num_batched_tokens: int = 16,
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
    config = SchedulerConfig(max_num_seqs=max_num_seqs, max_num_batched_tokens=max_num_batched_tokens)
    return EngineCore(info, config, executor, depth=depth)


def request(
    request_id: str,
    prompt: tuple[int, ...],
    max_tokens: int = 4,
    *,
    ignore_eos: bool = False,
    stop_token_ids: tuple[int, ...] = (),
    min_tokens: int = 0,
) -> AddRequest:
    sampling = SamplingParams(
        max_tokens=max_tokens,
        temperature=0.0,
        ignore_eos=ignore_eos,
        stop_token_ids=stop_token_ids,
        min_tokens=min_tokens,
    )
    return AddRequest(request_id=request_id, prompt_token_ids=prompt, sampling=sampling, arrival_time=0.0)


def check_blocks(core: EngineCore) -> None:
    """Every block is free or held exactly as often as tables name it."""
    scheduler = core.scheduler
    pool = scheduler.cache.pool
    held = [block_id for request in scheduler.running for block_id in request.block_table]
    assert {block_id for block_id in range(pool.num_blocks) if not pool.is_free(block_id)} == set(held)
    assert pool._num_holders == [held.count(block_id) for block_id in range(pool.num_blocks)]
    assert not any(request.block_table for request in scheduler.waiting)


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
