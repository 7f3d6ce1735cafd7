"""An executor without a model: tokens are a function of the whole context, read back through block tables.

So a block given to two requests, a lost write, a wrong position or a stale cache shows as a wrong token.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from octavo_engine.core.batch import LATEST_TOKEN, Batch, Pending, SampledLogprobs, SampledTokens

VOCAB_SIZE = 97


def next_token(token_ids: list[int]) -> int:
    """The model: any wrong, missing or misplaced token before changes the answer."""
    state = 7
    for token_id in token_ids:
        state = (state * 31 + token_id + 1) % 1_000_003
    return state % VOCAB_SIZE


def generate_alone(prompt: tuple[int, ...], num_tokens: int) -> list[int]:
    token_ids = list(prompt)
    for _ in range(num_tokens):
        token_ids.append(next_token(token_ids))
    return token_ids[len(prompt) :]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch, as tests read it."""

    slot: int
    token_ids: tuple[int, ...]
    first_position: int
    samples: bool


def rows_of(batch: Batch) -> list[Row]:
    starts = batch.query_start_R1.tolist()
    sampled = set(batch.sampled_row_N.tolist())
    return [
        Row(slot, tuple(batch.input_id_T[start:end].tolist()), int(batch.position_T[start]), row in sampled)
        for row, (slot, start, end) in enumerate(zip(batch.slot_R.tolist(), starts, starts[1:], strict=False))
    ]


@dataclass
class FakeExecutor:
    """The cache holds tokens instead of keys and values, so reading a context back shows who wrote where."""

    block_size: int
    max_num_batched_tokens: int = 1 << 30
    max_num_seqs: int = 1 << 30
    fails: Callable[[Batch], bool] = lambda batch: False
    look: Callable[[Batch], None] = lambda batch: None
    """Sees each batch before it writes, with the tables and tokens of that moment."""
    invalid: Callable[[int], bool] = lambda token_id: False
    batches: list[Batch] = field(default_factory=list)
    cache: dict[int, int] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)

    def submit(self, batch: Batch) -> Pending:
        assert batch.num_rows, "an empty batch is not worth a step"
        assert batch.num_tokens <= self.max_num_batched_tokens
        assert batch.num_rows <= self.max_num_seqs
        slots = batch.slot_R.tolist()
        assert len(set(slots)) == len(slots), "two rows in one slot"
        assert all(0 <= slot < self.max_num_seqs for slot in slots)
        self.look(batch)
        self.batches.append(batch)
        rows = rows_of(batch)
        written = [place for row in rows for place in self._write(row, batch)]
        assert len(set(written)) == len(written), "two requests write to one place"
        assert written == batch.slot_mapping_T.tolist()
        ends = [row.first_position + len(row.token_ids) for row in rows]
        assert ends == batch.context_len_R.tolist()
        tokens = [self._sample(row, batch) for row in rows if row.samples]
        return FakePending(np.array(tokens, dtype=np.int32), self.fails(batch), self._logprobs(batch, tokens))

    def _write(self, row: Row, batch: Batch) -> Iterator[int]:
        table = batch.slots.block_table_SB[row.slot].tolist()
        num_blocks = -(-(row.first_position + len(row.token_ids)) // self.block_size)
        assert len(set(table[:num_blocks])) == num_blocks, "a block twice in one table"
        for position, token_id in enumerate(row.token_ids, start=row.first_position):
            place = table[position // self.block_size] * self.block_size + position % self.block_size
            self.cache[place] = self.latest[row.slot] if token_id == LATEST_TOKEN else token_id
            yield place

    def _sample(self, row: Row, batch: Batch) -> int:
        table, size = batch.slots.block_table_SB[row.slot].tolist(), self.block_size
        end = row.first_position + len(row.token_ids)
        context = [self.cache[table[i // size] * size + i % size] for i in range(end)]
        self.latest[row.slot] = next_token(context)
        return -1 if self.invalid(self.latest[row.slot]) else self.latest[row.slot]

    def _logprobs(self, batch: Batch, tokens: list[int]) -> SampledLogprobs | None:
        """Numbers that tell whose they are: -token for the chosen, and the token's neighbours as the best."""
        wanted = batch.slots.num_logprobs_S[batch.slot_N]
        if not (wanted >= 0).any():
            return None
        chosen = np.array(tokens, dtype=np.int32)
        top = chosen[:, None] + np.arange(wanted.max(), dtype=np.int32)
        return SampledLogprobs(
            chosen_N=-chosen.astype(np.float32), top_token_NK=top, top_logprob_NK=-top.astype(np.float32)
        )


@dataclass
class FakePending:
    token_N: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    fails: bool = False
    logprobs: SampledLogprobs | None = None

    def result(self) -> SampledTokens:
        if self.fails:
            raise RuntimeError("the device caught fire")
        return SampledTokens(self.token_N, self.logprobs)
