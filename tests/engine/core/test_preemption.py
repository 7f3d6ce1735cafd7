import numpy as np

from octavo_engine.core.preemption import choose_victim
from octavo_engine.core.request import Request
from octavo_engine.core.slots import Slots
from octavo_engine.messages import AddRequest, SamplingParams

Held = tuple[int, int, list[int]]
"""Priority, computed tokens, blocks."""


def victim(*running: Held) -> int:
    """Which of the running requests, in order of arrival, has to go; blocks are of 4 tokens."""
    slots = Slots(max_num_seqs=len(running), max_model_len=32, block_size=4, vocab_size=9)
    num_holders_B = np.zeros(32, dtype=np.int32)
    for number, (priority, num_computed, blocks) in enumerate(running):
        message = AddRequest(
            request_id=str(number),
            prompt_token_ids=(1,) * num_computed,
            sampling=SamplingParams(max_tokens=3),
            arrival_time=0.0,
            priority=priority,
        )
        request = Request.from_message(message, seed=1, number=number, eos_token_ids=(), max_model_len=32)
        slots.enter(request, blocks, num_computed)
        num_holders_B[blocks] += 1
    return int(choose_victim(slots, num_holders_B, block_size=4).request_id)


def test_the_least_important_goes_however_dear_it_is() -> None:
    assert victim((0, 1, [0]), (1, 8, [1, 2]), (0, 1, [3])) == 1


def test_of_equals_the_cheapest_per_freed_block_goes() -> None:
    assert victim((0, 1, [0]), (0, 5, [1, 2]), (0, 8, [3, 4])) == 1
    assert victim((0, 1, [0]), (0, 8, [1, 2]), (0, 5, [3, 4])) == 2


def test_of_equals_that_cost_the_same_the_last_one_goes() -> None:
    assert victim((0, 4, [0]), (0, 4, [1]), (0, 4, [2])) == 2


def test_the_most_important_stays_even_when_it_is_the_cheapest() -> None:
    assert victim((0, 1, [0]), (0, 8, [1, 2])) == 1


def test_shared_blocks_are_neither_freed_nor_computed_again() -> None:
    """The first two share 2 blocks: to throw the second out frees 1 block for 1 token."""
    assert victim((0, 9, [0, 1, 2]), (0, 9, [0, 1, 3]), (0, 5, [4, 5])) == 1


def test_who_frees_nothing_goes_last() -> None:
    assert victim((0, 8, [0, 1]), (0, 8, [2, 3]), (0, 8, [0, 1])) == 1
    assert victim((0, 8, [0, 1]), (0, 8, [0, 1])) == 1
