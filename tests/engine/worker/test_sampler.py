from typing import Any

import numpy as np
import pytest
import torch

from octavo_engine.core.batch import NO_TOKEN, Batch, SampledTokens, SlotArrays
from octavo_engine.worker.sampler import sampled_tokens, sampling_rows, sampling_slots
from octavo_kernels import sampling
from octavo_kernels.native.library import NativeLibrary, load_native

NUM_SLOTS, VOCAB_SIZE = 6, 300


@pytest.fixture(scope="module", params=["reference", "native"])
def library(request: pytest.FixtureRequest) -> NativeLibrary | None:
    if request.param == "reference":
        return None
    loaded = load_native(2)
    if loaded is None:
        pytest.skip("no compiled kernels on this machine")
    return loaded


def slot_arrays(**changes: Any) -> SlotArrays:
    def each(value: float, dtype: Any = np.float32) -> Any:
        return np.full(NUM_SLOTS, value, dtype=dtype)

    arrays: dict[str, Any] = {
        "block_table_SB": np.zeros((NUM_SLOTS, 4), dtype=np.int32),
        "token_SL": np.zeros((NUM_SLOTS, 16), dtype=np.int32),
        "num_tokens_S": each(0, np.int32),
        "num_prompt_tokens_S": each(0, np.int32),
        "temperature_S": each(0),
        "top_p_S": each(1),
        "top_k_S": each(0, np.int32),
        "min_p_S": each(0),
        "presence_penalty_S": each(0),
        "frequency_penalty_S": each(0),
        "repetition_penalty_S": each(1),
        "seed_S": np.arange(NUM_SLOTS, dtype=np.uint64),
        "num_logprobs_S": each(-1, np.int32),
    }
    return SlotArrays(**arrays | changes)


def batch(slots: SlotArrays, slot_R: list[int], sampled_row_N: list[int], **changes: Any) -> Batch:
    """One token a row; only what sampling reads means anything."""
    num_rows, num_sampled = len(slot_R), len(sampled_row_N)
    zeros = np.zeros(num_rows, dtype=np.int32)
    arrays: dict[str, Any] = {
        "slot_R": np.array(slot_R, dtype=np.int32),
        "query_start_R1": np.arange(num_rows + 1, dtype=np.int32),
        "context_len_R": zeros + 1,
        "input_id_T": zeros,
        "position_T": zeros,
        "slot_mapping_T": zeros,
        "sampled_row_N": np.array(sampled_row_N, dtype=np.int32),
        "sampled_token_N": np.array(sampled_row_N, dtype=np.int32),
        "slot_N": np.array(slot_R, dtype=np.int32)[sampled_row_N],
        "num_generated_N": np.zeros(num_sampled, dtype=np.int64),
        "banned_NK": None,
    }
    return Batch(slots=slots, **arrays | changes)


def sample(logits: torch.Tensor, step: Batch, library: NativeLibrary | None) -> SampledTokens:
    return sampled_tokens(sampling.sample(logits, sampling_rows(step, sampling_slots(step.slots)), library))


def logits_of(count: int) -> torch.Tensor:
    return torch.randn(count, VOCAB_SIZE, generator=torch.Generator().manual_seed(3))


def tokens(sampled: SampledTokens) -> list[int]:
    assert sampled.token_N.dtype == np.int32
    return [int(token) for token in sampled.token_N]


def test_each_row_has_the_settings_of_its_slot(library: NativeLibrary | None) -> None:
    slots = slot_arrays(
        temperature_S=np.array([0, 1, 0, 1, 0.7, 0], dtype=np.float32),
        top_k_S=np.array([0, 0, 0, 0, 20, 0], dtype=np.int32),
    )
    logits = logits_of(4)
    together = batch(slots, [4, 2, 1, 3, 0], [0, 2, 3, 4], num_generated_N=np.array([6, 5, 4, 3]))
    alone = [
        tokens(
            sample(logits[i : i + 1], batch(slots, [slot], [0], num_generated_N=np.array([counter])), library)
        )[0]
        for i, (slot, counter) in enumerate([(4, 6), (1, 5), (3, 4), (0, 3)])
    ]
    assert tokens(sample(logits, together, library)) == alone
    assert alone[3] == int(logits[3].argmax())


def test_stop_tokens_are_masked_where_a_row_may_not_stop(library: NativeLibrary | None) -> None:
    logits = logits_of(2)
    best = logits.topk(3, dim=-1).indices.int()
    banned_NK = best[:, :2].contiguous().numpy()
    banned_NK[1] = NO_TOKEN
    sampled = sample(logits, batch(slot_arrays(), [2, 3], [0, 1], banned_NK=banned_NK), library)
    assert tokens(sampled) == [int(best[0, 2]), int(best[1, 0])]


def test_penalties_count_the_slot_s_known_tokens(library: NativeLibrary | None) -> None:
    logits = logits_of(1)
    best, second = logits[0].topk(2).indices.tolist()
    token_SL = np.zeros((NUM_SLOTS, 16), dtype=np.int32)
    token_SL[5, :3] = best
    slots = slot_arrays(
        token_SL=token_SL,
        num_tokens_S=np.array([0, 0, 0, 0, 0, 2], dtype=np.int32),
        num_prompt_tokens_S=np.ones(NUM_SLOTS, dtype=np.int32),
        frequency_penalty_S=np.full(NUM_SLOTS, 50, dtype=np.float32),
    )
    assert tokens(sample(logits, batch(slots, [5], [0]), library)) == [second]
    assert tokens(sample(logits, batch(slots, [4], [0]), library)) == [best]


def test_log_probabilities_come_where_a_row_asks(library: NativeLibrary | None) -> None:
    logits = logits_of(2)
    slots = slot_arrays(num_logprobs_S=np.array([2, -1, -1, -1, -1, -1], dtype=np.int32))
    given = sample(logits, batch(slots, [1, 0], [0, 1]), library).logprobs
    assert given is not None
    assert np.isnan(given.chosen_N[0]) and given.top_token_NK[0].tolist() == [-1, -1]
    best = logits[1].log_softmax(dim=-1).topk(2)
    assert given.top_token_NK[1].tolist() == best.indices.tolist()
    assert given.top_logprob_NK[1] == pytest.approx(best.values.numpy(), abs=1e-5)
    assert given.chosen_N[1] == pytest.approx(float(best.values[0]), abs=1e-5)
    assert sample(logits, batch(slots, [1, 2], [0, 1]), library).logprobs is None


def test_on_a_device_penalties_count_a_latest_token_that_the_host_does_not_know() -> None:
    logits = logits_of(2)
    best, second = logits[1].topk(2).indices.tolist()
    slots = slot_arrays(presence_penalty_S=np.full(NUM_SLOTS, 50, dtype=np.float32))
    latest_token_S = torch.full((NUM_SLOTS,), best)
    step = batch(slots, [2, 3], [0, 1], num_generated_N=np.array([0, 1]))

    def sampled(latest: torch.Tensor | None) -> list[int]:
        rows = sampling_rows(step, sampling_slots(step.slots))
        return tokens(sampled_tokens(sampling.reference.sample(logits, rows, latest).to_host().numpy()))

    assert sampled(latest_token_S) == [int(logits[0].argmax()), second]
    assert sampled(None) == [int(logits[0].argmax()), best]
