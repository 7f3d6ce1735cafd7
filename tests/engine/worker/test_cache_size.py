import pytest

from octavo_engine.errors import OutOfMemory
from octavo_engine.worker.cache_size import CacheSize, fit_cache


def fit(budget_blocks: float, max_model_len: int = 100, max_num_seqs: int = 4) -> CacheSize:
    return fit_cache(
        budget_bytes=int(budget_blocks * 1000),
        block_bytes=1000,
        block_size=16,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
    )


def test_the_budget_is_spent_on_whole_blocks() -> None:
    assert fit(10.9) == CacheSize(num_blocks=10, max_model_len=100)


def test_no_more_than_all_sequences_can_fill() -> None:
    assert fit(1000) == CacheSize(num_blocks=28, max_model_len=100)


def test_a_context_that_does_not_fit_is_lowered() -> None:
    assert fit(3) == CacheSize(num_blocks=3, max_model_len=48)


@pytest.mark.parametrize("budget_blocks", [0.9, -5])
def test_not_even_one_block_is_an_error_with_numbers(budget_blocks: float) -> None:
    with pytest.raises(OutOfMemory, match="0 MiB are left for the KV cache"):
        fit(budget_blocks)
