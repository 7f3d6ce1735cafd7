import numpy as np
import pytest

from octavo_engine.core.batch import LATEST_TOKEN, NO_TOKEN
from octavo_engine.core.inputs import make_batch
from octavo_engine.core.request import Request
from octavo_engine.core.slots import Slots
from octavo_engine.messages import AddRequest, SamplingParams

TABLES = {0: [7, 3, 5], 1: [2, 9, 4], 2: [6, 1, 8]}


@pytest.fixture
def slots() -> Slots:
    """Three requests with tables of their own in slots 0, 1, 2; the prompts are 100.., 200.., 300.."""
    slots = Slots(max_num_seqs=4, max_model_len=12, block_size=4, vocab_size=1000)
    for slot, length in enumerate((6, 9, 5)):
        message = AddRequest(
            request_id=str(slot),
            prompt_token_ids=tuple(range(100 * slot + 100, 100 * slot + 100 + length)),
            sampling=SamplingParams(max_tokens=3, min_tokens=1, stop_token_ids=(7,)),
            arrival_time=0.0,
        )
        request = Request.from_message(message, seed=1, number=slot, eos_token_ids=(), max_model_len=12)
        slots.enter(request, [], 0)
        assert request.slot == slot
        slots.shared.block_table_SB[slot] = TABLES[slot]
    return slots


def test_rows_lie_one_after_the_other_with_their_positions_and_places(slots: Slots) -> None:
    slots.num_computed_S[:3] = (6, 2, 0)  # decodes, goes on in the middle of its prompt, begins
    slots.num_expected_S[0] += 1  # its sixth token is in flight
    batch = make_batch(slots, np.array([0, 1, 2]), np.array([1, 4, 5]), block_size=4)
    assert batch.query_start_R1.tolist() == [0, 1, 5, 10]
    assert batch.context_len_R.tolist() == [7, 6, 5]
    assert batch.position_T.tolist() == [6, 2, 3, 4, 5, 0, 1, 2, 3, 4]
    assert batch.input_id_T.tolist() == [LATEST_TOKEN, 202, 203, 204, 205, 300, 301, 302, 303, 304]
    blocks = [3, 2, 2, 9, 9, 6, 6, 6, 6, 1]
    assert (batch.slot_mapping_T // 4).tolist() == blocks
    assert (batch.slot_mapping_T % 4).tolist() == [2, 2, 3, 0, 1, 0, 1, 2, 3, 0]
    assert batch.sampled_row_N.tolist() == [0, 2]
    assert batch.num_generated_N.tolist() == [1, 0]
    assert batch.sampled_token_N.tolist() == [0, 9]
    assert batch.slot_N.tolist() == [0, 2]
    assert batch.banned_NK is not None and batch.banned_NK.tolist() == [[NO_TOKEN], [7]]


def test_a_batch_of_decoding_rows_is_the_same_without_the_general_way(slots: Slots) -> None:
    slots.num_computed_S[:3] = (5, 8, 4)
    batch = make_batch(slots, np.array([2, 0, 1]), np.array([1, 1, 1]), block_size=4)
    assert batch.position_T.tolist() == [4, 5, 8]
    assert batch.input_id_T.tolist() == [304, 105, 208]
    assert batch.slot_mapping_T.tolist() == [1 * 4, 3 * 4 + 1, 4 * 4]
    assert batch.sampled_row_N.tolist() == [0, 1, 2]


@pytest.mark.parametrize("counts", [[1, 1], [2, 1]])
def test_arrays_have_the_types_that_the_contract_names(slots: Slots, counts: list[int]) -> None:
    slots.num_computed_S[:2] = (6 - counts[0], 8)
    batch = make_batch(slots, np.array([0, 1], dtype=np.int32), np.array(counts, dtype=np.int32), 4)
    kinds = {
        name: str(getattr(batch, name).dtype)
        for name in batch.__dataclass_fields__
        if name not in ("slots", "num_generated_N")
    }
    assert set(kinds.values()) == {"int32"}, kinds
    assert batch.num_generated_N.dtype == np.int64
