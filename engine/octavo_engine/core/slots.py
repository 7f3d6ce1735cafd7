"""The state of running requests as arrays, one place a slot; what a step reads and changes at once.

There are no phases: `num_computed` chases `num_expected`, by chunks in prefill, by one in decode.
"""

from bisect import insort
from typing import cast

import numpy as np

from octavo_engine.core.batch import NO_TOKEN, Batch, Bools, Int32s, Int64s, SlotArrays
from octavo_engine.core.request import Request, rank_of
from octavo_engine.messages import SamplingParams


class Slots:
    """Owns the slots: who runs in which, how far it is, and what the worker reads of it."""

    def __init__(self, max_num_seqs: int, max_model_len: int, block_size: int, vocab_size: int) -> None:
        def ints(*shape: int) -> Int32s:
            return np.zeros((max_num_seqs, *shape), dtype=np.int32)

        self.shared = SlotArrays(
            block_table_SB=ints(-(-max_model_len // block_size)),
            token_SL=ints(max_model_len),
            num_tokens_S=ints(),
            num_prompt_tokens_S=ints(),
            temperature_S=np.zeros(max_num_seqs, dtype=np.float32),
            top_p_S=np.ones(max_num_seqs, dtype=np.float32),
            top_k_S=ints(),
            min_p_S=np.zeros(max_num_seqs, dtype=np.float32),
            presence_penalty_S=np.zeros(max_num_seqs, dtype=np.float32),
            frequency_penalty_S=np.zeros(max_num_seqs, dtype=np.float32),
            repetition_penalty_S=np.ones(max_num_seqs, dtype=np.float32),
            seed_S=np.zeros(max_num_seqs, dtype=np.uint64),
            num_logprobs_S=ints(),
        )
        self.num_expected_S = ints()
        """Known tokens and those that steps in flight will sample."""
        self.num_computed_S = ints()
        """Tokens whose keys and values are in the cache once all steps in flight have ended."""
        self.num_blocks_S = ints()
        self.num_indexed_S = ints()
        """Blocks that the prefix index knows, or knows the like of."""
        self.max_num_tokens_S = ints()
        self.min_num_tokens_S = ints()
        """Tokens, of the prompt too, below which the request may not stop."""
        self.has_penalties_S = np.zeros(max_num_seqs, dtype=np.bool_)
        self.stop_SK = np.full((max_num_seqs, 1), NO_TOKEN, dtype=np.int32)
        """The request's stop tokens, those within the vocabulary, filled up with `NO_TOKEN`."""
        self.tenancy_S: Int64s = np.zeros(max_num_seqs, dtype=np.int64)
        """Rises when a slot is left, so that a step in flight can tell whether a row is still the same's."""
        self.requests: list[Request | None] = [None] * max_num_seqs
        self.running: list[Request] = []
        """The most important first."""
        self._free = list(reversed(range(max_num_seqs)))
        self._vocab_size = vocab_size
        self._order_R: Int32s | None = None

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def order_R(self) -> Int32s:
        """The slots of the running requests, the most important first."""
        if self._order_R is None:
            self._order_R = np.array([request.slot for request in self.running], dtype=np.int32)
        return self._order_R

    def running_in(self, slot_R: Int32s) -> list[Request]:
        """The requests of slots that are known to be taken."""
        requests = self.requests
        return cast("list[Request]", [requests[slot] for slot in slot_R.tolist()])

    def table(self, slot: int) -> Int32s:
        return self.shared.block_table_SB[slot, : self.num_blocks_S[slot]]

    def num_uncomputed(self, slot_R: Int32s) -> Int32s:
        """What can be computed now. The very last token of a request is never an input."""
        expected_R = self.num_expected_S[slot_R]
        uncomputed_R = np.minimum(expected_R, self.max_num_tokens_S[slot_R] - 1) - self.num_computed_S[slot_R]
        has_penalties_R = self.has_penalties_S[slot_R]
        if has_penalties_R.any():
            is_held_R = has_penalties_R & (expected_R > self.shared.num_tokens_S[slot_R])
            uncomputed_R[is_held_R] = 0
        return uncomputed_R

    def enter(self, request: Request, block_ids: list[int], num_computed: int) -> None:
        """Give a waiting request a slot, and a table that begins with blocks which it shares."""
        slot = request.slot = self._free.pop()
        tokens, shared = request.token_L, self.shared
        shared.token_SL[slot, : len(tokens)] = tokens
        request.token_L = shared.token_SL[slot]
        shared.block_table_SB[slot, : len(block_ids)] = block_ids
        shared.num_tokens_S[slot] = self.num_expected_S[slot] = len(tokens)
        shared.num_prompt_tokens_S[slot] = request.num_prompt_tokens
        self.num_blocks_S[slot] = self.num_indexed_S[slot] = len(block_ids)
        self.num_computed_S[slot] = num_computed
        self.max_num_tokens_S[slot] = request.max_num_tokens
        self.min_num_tokens_S[slot] = request.num_prompt_tokens + min(
            request.sampling.min_tokens, request.max_num_tokens
        )
        self.has_penalties_S[slot] = request.has_penalties
        self._set_sampling(slot, request.sampling, request.seed)
        self._set_stops(slot, request.stop_token_ids)
        self.requests[slot] = request
        insort(self.running, request, key=rank_of)
        self._order_R = None

    def leave(self, request: Request) -> None:
        """Take the slot back; the request keeps its tokens, its blocks are the caller's matter."""
        slot = request.slot
        assert slot is not None
        request.token_L = request.token_L[: self.shared.num_tokens_S[slot]].copy()
        request.slot = self.requests[slot] = None
        self.tenancy_S[slot] += 1
        self.running.remove(request)
        self._free.append(slot)
        self._order_R = None

    def advance(self, batch: Batch) -> None:
        """The batch is on its way: its tokens count as computed, and those it samples as expected."""
        self.num_computed_S[batch.slot_R] = batch.context_len_R
        self.num_expected_S[batch.slot_N] += 1

    def append(self, slot_N: Int32s, token_N: Int32s) -> Int32s:
        """One more known token for each of the slots; how many each has now."""
        num_before_N = self.shared.num_tokens_S[slot_N]
        self.shared.token_SL[slot_N, num_before_N] = token_N
        num_tokens_N: Int32s = num_before_N + 1
        self.shared.num_tokens_S[slot_N] = num_tokens_N
        return num_tokens_N

    def is_stop(self, slot_N: Int32s, token_N: Int32s) -> Bools:
        is_stop_N: Bools = (self.stop_SK[slot_N] == token_N[:, None]).any(axis=1)
        return is_stop_N

    def stops_where(self, is_banned_N: Bools, slot_N: Int32s) -> Int32s | None:
        """[N, K] stop tokens of those rows, `NO_TOKEN` in the others; None where there are none of those."""
        if not is_banned_N.any():
            return None
        return np.where(is_banned_N[:, None], self.stop_SK[slot_N], np.int32(NO_TOKEN))

    def _set_sampling(self, slot: int, params: SamplingParams, seed: int) -> None:
        shared = self.shared
        shared.temperature_S[slot] = params.temperature
        shared.top_p_S[slot] = params.top_p
        shared.top_k_S[slot] = params.top_k
        shared.min_p_S[slot] = params.min_p
        shared.presence_penalty_S[slot] = params.presence_penalty
        shared.frequency_penalty_S[slot] = params.frequency_penalty
        shared.repetition_penalty_S[slot] = params.repetition_penalty
        shared.seed_S[slot] = seed % 2**64
        shared.num_logprobs_S[slot] = -1 if params.num_logprobs is None else params.num_logprobs

    def _set_stops(self, slot: int, token_ids: tuple[int, ...]) -> None:
        stops = np.array([i for i in token_ids if 0 <= i < self._vocab_size], dtype=np.int32)
        missing = len(stops) - self.stop_SK.shape[1]
        if missing > 0:
            self.stop_SK = np.pad(self.stop_SK, ((0, 0), (0, missing)), constant_values=NO_TOKEN)
        self.stop_SK[slot, : len(stops)] = stops
        self.stop_SK[slot, len(stops) :] = NO_TOKEN
