import numpy as np
import pytest
import torch
from torch import Tensor

from octavo_engine.worker.sampler import SamplingRows, sample, uniforms


def rows(
    count: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 5,
    first: int = 0,
) -> SamplingRows:
    """`count` tokens of one request, as if each were the next."""
    return SamplingRows(
        temperature_R=np.full(count, temperature, dtype=np.float32),
        top_p_R=np.full(count, top_p, dtype=np.float32),
        top_k_R=np.full(count, top_k, dtype=np.int64),
        seed_R=np.full(count, seed, dtype=np.uint64),
        num_generated_R=np.arange(first, first + count, dtype=np.uint64),
    )


def random_logits(count: int, vocab_size: int = 3000, spread: float = 2.0) -> Tensor:
    return torch.randn(count, vocab_size, generator=torch.Generator().manual_seed(3)) * spread


def chi_square(tokens: Tensor, probabilities: Tensor) -> float:
    counts = torch.bincount(tokens, minlength=len(probabilities)).double()
    assert counts[probabilities == 0].sum() == 0, "an impossible token was drawn"
    possible = probabilities > 0
    expected = probabilities[possible].double() * len(tokens)
    return float(((counts[possible] - expected).square() / expected).sum())


PROBABILITIES = torch.tensor([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])


@pytest.mark.parametrize(
    ("settings", "kept", "temperature"),
    [
        ({}, 6, 1.0),
        ({"temperature": 2.0}, 6, 2.0),
        ({"top_k": 3}, 3, 1.0),
        ({"top_p": 0.79}, 3, 1.0),  # 0.4 + 0.25 is too little, the third completes it
        ({"top_k": 3, "top_p": 0.8}, 2, 1.0),  # shares of what top-k left: 0.5 + 0.31 suffice
        ({"top_p": 0.01}, 1, 1.0),
    ],
)
def test_tokens_come_as_often_as_their_probability_says(
    settings: dict[str, float], kept: int, temperature: float
) -> None:
    count = 20_000
    shuffled = torch.tensor([3, 0, 5, 1, 4, 2])
    logits = PROBABILITIES.log()[shuffled].expand(count, -1)
    tokens = shuffled[sample(logits, rows(count, **settings))]  # type: ignore[arg-type]
    weights = PROBABILITIES ** (1 / temperature)
    weights[kept:] = 0
    # 20.5 is passed once in a thousand with five degrees of freedom; the draws are the same in every run.
    assert chi_square(tokens, weights / weights.sum()) < 20.5


def test_temperature_zero_is_the_most_likely_token_whatever_else_is_set() -> None:
    logits = random_logits(8)
    greedy = sample(logits, rows(8, temperature=0.0, top_p=0.5, top_k=7))
    assert greedy.tolist() == logits.argmax(dim=-1).tolist()


@pytest.mark.parametrize("settings", [{}, {"top_k": 50}, {"top_p": 0.9}, {"top_p": 0.9999}])
def test_a_row_draws_the_same_alone_as_among_others(settings: dict[str, float]) -> None:
    logits = random_logits(12, spread=0.5)
    together = sample(logits, rows(12, **settings))  # type: ignore[arg-type]
    alone = [int(sample(logits[i : i + 1], rows(1, first=i, **settings))) for i in range(12)]  # type: ignore[arg-type]
    assert together.tolist() == alone


def test_rows_with_different_settings_share_a_batch() -> None:
    logits = random_logits(3)
    mixed = SamplingRows(
        temperature_R=np.array([0.0, 1.0, 0.7], dtype=np.float32),
        top_p_R=np.array([1.0, 1.0, 0.8], dtype=np.float32),
        top_k_R=np.array([0, 0, 20]),
        seed_R=np.array([1, 2, 3], dtype=np.uint64),
        num_generated_R=np.array([4, 5, 6], dtype=np.uint64),
    )
    alone = [
        rows(1, temperature=0.0),
        rows(1, seed=2, first=5),
        rows(1, temperature=0.7, top_p=0.8, top_k=20, seed=3, first=6),
    ]
    expected = [int(sample(logits[i : i + 1], settings)) for i, settings in enumerate(alone)]
    assert sample(logits, mixed).tolist() == expected


def test_a_nucleus_wider_than_the_sorted_candidates_is_drawn_whole() -> None:
    logits = (torch.arange(4000) * -1e-5).expand(200, -1)
    tokens = sample(logits, rows(200, top_p=0.99))
    assert len(set(tokens.tolist())) > 150
    assert int(tokens.max()) > 1024


def test_a_row_that_is_not_a_number_is_reported_and_harms_no_other() -> None:
    logits = random_logits(3)
    logits[1, 7] = torch.nan
    tokens = sample(logits, rows(3)).tolist()
    assert tokens[1] == -1
    assert tokens[::2] == sample(random_logits(3), rows(3)).tolist()[::2]


def test_masked_tokens_are_never_drawn() -> None:
    logits = torch.zeros(500, 4)
    logits[:, 2] = -torch.inf
    assert set(sample(logits, rows(500)).tolist()) == {0, 1, 3}


def test_uniforms_fill_the_unit_interval_and_differ_by_seed_and_counter() -> None:
    seeds, counters = np.meshgrid(np.arange(100, dtype=np.uint64), np.arange(100, dtype=np.uint64))
    numbers = uniforms(seeds.ravel(), counters.ravel())
    assert len(np.unique(numbers)) == 10_000
    assert np.histogram(numbers, bins=10, range=(0, 1))[0].tolist() == pytest.approx([1000] * 10, rel=0.1)
