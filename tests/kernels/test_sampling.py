"""Every claim is put to the reference and to the compiled op of each instruction set of this machine."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sampling_rows import distribution, sampling_rows
from torch import Tensor

from octavo_kernels.native.instruction_set import supported_instruction_sets
from octavo_kernels.native.library import NativeLibrary, load_native
from octavo_kernels.sampling import NativeSampler, Sampled, SamplingRows, sample, uniforms

Sampler = Callable[[Tensor, SamplingRows], Sampled]
NATIVE = [chosen.name for chosen in supported_instruction_sets()]


@cache
def library(name: str, num_threads: int = 2) -> NativeLibrary:
    loaded = load_native(num_threads, instruction_set=name)
    assert loaded is not None
    return loaded


def sampler_of(name: str, num_threads: int = 2) -> Sampler:
    return lambda logits, rows: sample(
        logits, rows, None if name == "reference" else library(name, num_threads)
    )


@pytest.fixture(params=["reference", *NATIVE])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return sampler_of(request.param)


def tokens_of(sampler: Sampler, logits: Tensor, rows: SamplingRows) -> list[int]:
    return [int(token) for token in sampler(logits.contiguous(), rows).token_N]


def random_logits(count: int, vocab_size: int = 3000, spread: float = 2.0, seed: int = 3) -> Tensor:
    return torch.randn(count, vocab_size, generator=torch.Generator().manual_seed(seed)) * spread


KNOWN = {"prompt": (3, 3, 8, 30), "generated": (8, 1, 1, 1, 20)}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.6},
    {"temperature": 3.0},
    {"top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.2},
    {"presence_penalty": 1.5, **KNOWN},
    {"frequency_penalty": -0.7, **KNOWN},
    {"repetition_penalty": 1.8, **KNOWN},
    {"banned": (0, 4, 36)},
    {"temperature": 1.3, "top_k": 12, "top_p": 0.7},
    {"temperature": 2.0, "min_p": 0.1, "top_k": 9, "top_p": 0.9},
    {
        "temperature": 0.8, "top_p": 0.95, "min_p": 0.02, "top_k": 25, "presence_penalty": 0.4,
        "frequency_penalty": 0.3, "repetition_penalty": 0.8, "banned": (2,), **KNOWN,
    },
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=[",".join(chosen) or "none" for chosen in SETTINGS])
def test_tokens_come_as_often_as_their_probability_says(sampler: Sampler, settings: dict[str, Any]) -> None:
    count = 20_000
    logits = random_logits(1, vocab_size=37, spread=1.2)
    counts = np.bincount(
        tokens_of(sampler, logits.expand(count, -1), sampling_rows(count, **settings)), minlength=37
    )
    probability = distribution(logits[0].numpy(), **settings)
    assert counts[probability == 0].sum() == 0, "an impossible token was drawn"
    expected = probability[probability > 0] * count
    degrees = len(expected) - 1
    chi_square = ((counts[probability > 0] - expected) ** 2 / expected).sum()
    # Passed once in some ten thousand (Wilson and Hilferty); the draws are the same in every run.
    assert chi_square < degrees * (1 - 2 / (9 * degrees) + 3.7 * math.sqrt(2 / (9 * degrees))) ** 3


def make_logits(kind: str, count: int, vocab_size: int, seed: int) -> Tensor:
    logits = random_logits(count, vocab_size, seed=seed)
    dice = np.random.default_rng(seed)
    match kind:
        case "steps":
            logits = logits.round()
        case "equal":
            logits[:] = dice.normal() * 10
        case "nearly equal":
            logits *= 1e-6
        case "far":
            logits *= 10.0 ** dice.integers(1, 38)
        case "masked":
            logits[torch.from_numpy(dice.random(logits.shape) < 0.7)] = -torch.inf
        case "spoilt":
            places = torch.from_numpy(dice.random(logits.shape) < 0.5 / vocab_size)
            logits[places] = float(dice.choice([np.nan, np.inf, -np.nan]))
    return logits


@pytest.mark.parametrize("name", NATIVE)
@hypothesis_settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_compiled_op_draws_the_reference_s_tokens(name: str, data: st.DataObject) -> None:
    kinds = ["normal", "steps", "equal", "nearly equal", "far", "masked", "spoilt"]
    vocab_size = data.draw(st.sampled_from([1, 2, 15, 16, 17, 50, 257, 1000, 4097]))
    count = data.draw(st.integers(1, 4))
    logits = make_logits(data.draw(st.sampled_from(kinds)), count, vocab_size, data.draw(st.integers(0, 999)))

    def each(values: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(values, min_size=count, max_size=count))

    words = st.lists(st.integers(-1, vocab_size), max_size=12)
    rows = sampling_rows(
        count,
        temperature=each(st.sampled_from([0, 1e-40, 1e-6, 0.3, 0.8, 1, 2, 1e4, 1e30])),
        top_p=each(st.sampled_from([1e-9, 0.01, 0.5, 0.9, 0.95, 0.999999, 1])),
        top_k=each(st.sampled_from([0, 1, 2, 5, 40, 1000, 2**31 - 1])),
        min_p=each(st.sampled_from([0, 0.001, 0.1, 1])),
        presence_penalty=each(st.sampled_from([0, -2, 0.5])),
        frequency_penalty=each(st.sampled_from([0, -0.3, 2])),
        repetition_penalty=each(st.sampled_from([1, 1.2, 0.5])),
        seed=each(st.integers(0, 2**64 - 1)),
        num_generated=each(st.integers(0, 2**40)),
        num_logprobs=each(st.sampled_from([-1, 0, 1, 5])),
        prompt=data.draw(words),
        generated=data.draw(words),
        banned=data.draw(words),
    )
    given_logits = logits.clone()
    expected, found = sample(logits, rows), sample(logits, rows, library(name))
    assert found.token_N.tolist() == expected.token_N.tolist()
    assert torch.equal(logits.view(torch.int32), given_logits.view(torch.int32)), "the logits were changed"
    assert (found.logprobs is None) == (expected.logprobs is None)
    if found.logprobs is not None and expected.logprobs is not None:
        assert found.logprobs.top_token_NK.tolist() == expected.logprobs.top_token_NK.tolist()
        for ours, theirs in (
            (found.logprobs.chosen_N, expected.logprobs.chosen_N),
            (found.logprobs.top_logprob_NK, expected.logprobs.top_logprob_NK),
        ):
            np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"top_k": 900}, {"top_k": 10_001}, {"top_p": 0.5}, {"top_p": 0.9999}, {"min_p": 0.3}]
)
def test_a_vocabulary_of_equals_is_cut_to_its_lowest_tokens(
    sampler: Sampler, settings: dict[str, Any]
) -> None:
    vocab_size, count = 20_003, 300
    tokens = tokens_of(sampler, torch.full((count, vocab_size), 7.0), sampling_rows(count, **settings))
    end = settings.get("top_k") or math.ceil(vocab_size * np.float32(settings.get("top_p", 1)))
    uniform = uniforms(np.full(count, 5, dtype=np.uint64), np.arange(count))
    assert tokens == [int(share * end) for share in uniform]


@pytest.mark.parametrize("settings", [{}, {"top_k": 7}, {"top_p": 0.9}])
def test_equals_at_the_border_of_a_cut_stay_by_lower_token(
    sampler: Sampler, settings: dict[str, Any]
) -> None:
    logits = torch.tensor([1.0, 0.0, 2.0, 0.0, -0.0, 2.0, 1.0, 0.0, 1.0, 0.0, 2.0] * 3)
    tokens = tokens_of(sampler, logits.expand(3000, -1), sampling_rows(3000, **settings))
    possible = distribution(logits.numpy(), **settings) > 0
    assert sorted(set(tokens)) == np.flatnonzero(possible).tolist()


@pytest.mark.parametrize(
    "settings", [{"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}, {"temperature": 1e-7}, {"temperature": 1e-40}]
)
def test_a_cut_to_one_token_is_greedy(sampler: Sampler, settings: dict[str, Any]) -> None:
    logits = random_logits(20, vocab_size=5001)
    assert tokens_of(sampler, logits, sampling_rows(20, **settings)) == logits.argmax(dim=-1).tolist()


@pytest.mark.parametrize("settings", [{"top_k": 5000}, {"top_k": 5001}, {"top_p": 1.0}, {"min_p": 0.0}])
def test_a_cut_that_keeps_all_changes_nothing(sampler: Sampler, settings: dict[str, Any]) -> None:
    logits = random_logits(200, vocab_size=5000, spread=0.3)
    plain = tokens_of(sampler, logits, sampling_rows(200))
    assert tokens_of(sampler, logits, sampling_rows(200, **settings)) == plain


def test_a_huge_temperature_draws_of_all_tokens_alike(sampler: Sampler) -> None:
    count, vocab_size = 4000, 10
    tokens = tokens_of(
        sampler, random_logits(1, vocab_size).expand(count, -1), sampling_rows(count, temperature=1e30)
    )
    assert np.bincount(tokens).tolist() == pytest.approx([count / vocab_size] * vocab_size, rel=0.2)


@pytest.mark.parametrize("spread", [0.05, 4.0])
@pytest.mark.parametrize(
    "settings", [{}, {"top_k": 50}, {"top_p": 0.9}, {"top_p": 0.9999}, {"temperature": 0}]
)
def test_a_row_draws_the_same_alone_as_among_others(
    sampler: Sampler, settings: dict[str, Any], spread: float
) -> None:
    logits = random_logits(12, spread=spread)
    together = tokens_of(sampler, logits, sampling_rows(12, **settings))
    alone = [
        tokens_of(sampler, logits[i : i + 1], sampling_rows(1, num_generated=i, **settings))[0]
        for i in range(12)
    ]
    assert together == alone


@pytest.mark.parametrize("name", NATIVE)
def test_tokens_do_not_depend_on_the_number_of_threads(name: str) -> None:
    logits = random_logits(40)
    rows = sampling_rows(40, top_p=np.linspace(0.1, 1, 40), generated=(1, 2, 2), presence_penalty=0.5)
    assert len({tuple(tokens_of(sampler_of(name, threads), logits, rows)) for threads in (1, 2, 5)}) == 1


def test_greedy_takes_the_lowest_of_equal_tokens_whatever_the_cuts(sampler: Sampler) -> None:
    logits = torch.zeros(4, 3000)
    logits[1, [900, 2047, 2048]] = 3.0
    logits[2, 2999] = 1.0
    logits[3, :2000] = -torch.inf
    rows = sampling_rows(4, temperature=0, top_p=0.5, top_k=7, min_p=0.2)
    assert tokens_of(sampler, logits, rows) == [0, 900, 2999, 2000]


def test_greedy_is_the_best_of_the_penalised_logits(sampler: Sampler) -> None:
    logits = torch.tensor([[5.0, 4.5, 4.0, -1.0, 3.9]])
    known: dict[str, Any] = {"prompt": (0,), "generated": (1, 2, 2)}

    def greedy(**settings: Any) -> int:
        return tokens_of(sampler, logits, sampling_rows(1, temperature=0, **settings, **known))[0]

    assert greedy() == 0
    assert greedy(repetition_penalty=1.3) == 4  # the prompt's token too
    assert greedy(repetition_penalty=1.3, frequency_penalty=-2) == 2  # 4 / 1.3 + 2 * 2
    assert greedy(presence_penalty=-0.6) == 1
    assert greedy(presence_penalty=-0.6, frequency_penalty=-0.6) == 2
    assert greedy(banned=(0, 1)) == 2


def test_a_row_without_numbers_is_reported_and_harms_no_other(sampler: Sampler) -> None:
    settings: dict[str, Any] = {"top_p": 0.9, "num_logprobs": 2}
    logits = random_logits(6)
    good = sampler(logits.clone(), sampling_rows(6, **settings))
    logits[1, 7] = torch.nan
    logits[2, 2999] = -torch.nan
    logits[3] = -torch.inf
    logits[4, 0] = torch.inf
    for temperature in (1.0, 0.0):
        temperatures = np.array([1, temperature, temperature, temperature, temperature, 1])
        spoilt = sampler(logits, sampling_rows(6, temperature=temperatures, **settings))
        assert spoilt.token_N[1:5].tolist() == [-1] * 4
        assert spoilt.token_N[[0, 5]].tolist() == good.token_N[[0, 5]].tolist()
        assert spoilt.logprobs is not None and good.logprobs is not None
        assert np.isnan(spoilt.logprobs.chosen_N[1:5]).all()
        assert np.array_equal(spoilt.logprobs.chosen_N[[0, 5]], good.logprobs.chosen_N[[0, 5]])


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_sampler_sees_what_changes_in_its_slots_and_logits(name: str) -> None:
    logits = torch.zeros(3, 50)
    rows = sampling_rows(3, temperature=0, prompt=(7,))
    some = replace(rows, slot_N=np.array([2], dtype=np.int32), num_generated_N=np.zeros(1, dtype=np.int64))
    native = NativeSampler(rows.slots, logits, library(name))
    assert native.sample(some).token_N.tolist() == [0]
    logits[0, [7, 8]] = torch.tensor(
        [2.0, 1.5]
    )  # the first row of logits is the first row's, whatever its slot
    assert native.sample(some).token_N.tolist() == [7]
    rows.slots.repetition_penalty_S[2] = 4
    assert native.sample(some).token_N.tolist() == [8]


def test_log_probabilities_are_those_of_the_logits_before_all_settings(sampler: Sampler) -> None:
    logits = random_logits(5, vocab_size=1003, spread=3.0)
    wanted = [-1, 0, 1, 5, 3]
    rows = sampling_rows(
        5, temperature=5, top_k=60, num_logprobs=wanted, generated=(4, 4), presence_penalty=2, banned=(9,)
    )
    sampled = sampler(logits, rows)
    assert sampled.logprobs is not None
    expected = logits.double().log_softmax(dim=-1)
    for row, count in enumerate(wanted):
        chosen, token = float(sampled.logprobs.chosen_N[row]), int(sampled.token_N[row])
        assert (
            chosen == pytest.approx(float(expected[row, token]), abs=2e-6) if count >= 0 else np.isnan(chosen)
        )
        best = expected[row].topk(max(count, 0))
        padding = 5 - len(best.indices)
        assert sampled.logprobs.top_token_NK[row].tolist() == best.indices.tolist() + [-1] * padding
        assert sampled.logprobs.top_logprob_NK[row].tolist() == pytest.approx(
            best.values.tolist() + [math.nan] * padding, abs=2e-6, nan_ok=True
        )


def test_more_log_probabilities_than_tokens_and_none_asked(sampler: Sampler) -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0]])
    given = sampler(logits, sampling_rows(1, num_logprobs=5)).logprobs
    assert given is not None and given.top_token_NK.tolist() == [[1, 2, 0, -1, -1]]
    assert sampler(logits, sampling_rows(1)).logprobs is None


def test_nothing_to_sample_is_nothing(sampler: Sampler) -> None:
    assert tokens_of(sampler, torch.empty(0, 50), sampling_rows(0)) == []


def test_uniforms_fill_the_unit_interval_and_differ_by_seed_and_counter() -> None:
    seeds, counters = np.meshgrid(np.arange(100, dtype=np.uint64), np.arange(100, dtype=np.uint64))
    numbers = uniforms(seeds.ravel(), counters.ravel())
    assert len(np.unique(numbers)) == 10_000
    assert np.histogram(numbers, bins=10, range=(0, 1))[0].tolist() == pytest.approx([1000] * 10, rel=0.1)
