"""How a step's tokens are divided among running requests; pure."""

from bisect import bisect_left

import numpy as np

from octavo_engine.config import SchedulerConfig
from octavo_engine.core.batch import Int32s
from octavo_engine.core.request import Rank, rank_of
from octavo_engine.core.slots import Slots


def divide_budget(slots: Slots, config: SchedulerConfig) -> tuple[Int32s, Int32s]:
    """Which slots go on by how many tokens, those that decode first.

    Who decodes gets a token, then prompts get chunks, those of the more important first. While somebody
    decodes, a step takes only so many prompt tokens, for each of them delays the next token of everyone who
    decodes.
    """
    order_R = slots.order_R
    uncomputed_R = slots.num_uncomputed(order_R)
    is_decode_R = uncomputed_R == 1
    num_decodes = int(np.count_nonzero(is_decode_R))
    if num_decodes == len(order_R):
        return order_R, uncomputed_R
    is_prefill_R = uncomputed_R > 1
    prefill_P, wanted_P = order_R[is_prefill_R], uncomputed_R[is_prefill_R]
    left_P = np.maximum(_prefill_budget(num_decodes, config) - (wanted_P.cumsum() - wanted_P), 0)
    given_P = np.minimum(wanted_P, left_P).astype(np.int32)
    gets_P = given_P > 0
    return (
        np.concatenate((order_R[is_decode_R], prefill_P[gets_P])),
        np.concatenate((uncomputed_R[is_decode_R], given_P[gets_P])),
    )


def has_budget_left(slots: Slots, config: SchedulerConfig, rank: Rank) -> bool:
    """Whether prompts that are more important than `rank` leave it some of the next step's tokens."""
    uncomputed_R = slots.num_uncomputed(slots.order_R)
    budget = _prefill_budget(int(np.count_nonzero(uncomputed_R == 1)), config)
    before_R = uncomputed_R[: bisect_left(slots.running, rank, key=rank_of)]
    return int(before_R[before_R > 1].sum()) < budget


def _prefill_budget(num_decodes: int, config: SchedulerConfig) -> int:
    left = config.max_num_batched_tokens - num_decodes
    if not num_decodes or config.max_num_prefill_tokens is None:
        return left
    return min(left, config.max_num_prefill_tokens)
