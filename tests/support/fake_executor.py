"""A worker without tensors: it keeps what a real one keeps, and says which rule a batch breaks."""

from collections.abc import Callable
from dataclasses import dataclass, field

from octavo_engine.core.batch import LATEST_TOKEN, Batch, Pending, Row, SampledTokens

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


@dataclass
class FakeExecutor:
    """The cache holds tokens instead of keys and values, so reading a context back shows who wrote where."""

    block_size: int
    max_num_batched_tokens: int = 1 << 30
    max_num_seqs: int = 1 << 30
    fails: Callable[[Batch], bool] = lambda batch: False
    batches: list[Batch] = field(default_factory=list)
    cache: dict[int, int] = field(default_factory=dict)
    block_tables: dict[int, list[int]] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)

    def submit(self, batch: Batch) -> Pending:
        assert batch.rows, "an empty batch is not worth a step"
        assert batch.num_tokens <= self.max_num_batched_tokens
        assert len(batch.rows) <= self.max_num_seqs
        slots = [row.slot for row in batch.rows]
        assert len(set(slots)) == len(slots), "two rows in one slot"
        assert all(slot < self.max_num_seqs for slot in slots)
        self.batches.append(batch)
        written: set[int] = set()
        for row in batch.rows:
            written |= self._write(row, written)
        return FakePending(tuple(self._sample(row) for row in batch.rows if row.samples), self.fails(batch))

    def _write(self, row: Row, written: set[int]) -> set[int]:
        if row.start is not None:
            self.block_tables[row.slot] = []
        table = self.block_tables[row.slot]
        assert len(table) == row.num_known_blocks
        table += row.new_block_ids
        assert len(set(table)) == len(table), "a block twice in one table"
        places = set()
        for position, token_id in enumerate(row.token_ids, start=row.first_position):
            place = table[position // self.block_size] * self.block_size + position % self.block_size
            assert place not in written, "two requests write to one place"
            self.cache[place] = self.latest[row.slot] if token_id == LATEST_TOKEN else token_id
            places.add(place)
        return places

    def _sample(self, row: Row) -> int:
        table, size = self.block_tables[row.slot], self.block_size
        end = row.first_position + len(row.token_ids)
        context = [self.cache[table[i // size] * size + i % size] for i in range(end)]
        self.latest[row.slot] = next_token(context)
        return self.latest[row.slot]


@dataclass
class FakePending:
    token_ids: tuple[int, ...]
    fails: bool = False

    def result(self) -> SampledTokens:
        if self.fails:
            raise RuntimeError("the device caught fire")
        return SampledTokens(self.token_ids)
