"""What core and worker say to each other: the batch of one step, and the tokens that came of it.

A running request holds a *slot*, a number below `max_num_seqs` under which the worker keeps its block table,
its sampling settings and its latest token. A batch says only what changed since the slot's last row.
"""

from dataclasses import dataclass
from typing import Protocol

from octavo_engine.messages import SamplingParams

LATEST_TOKEN = -1
"""Stands in `token_ids` for the slot's latest sampled token, which may still be on its way."""

INVALID_TOKEN = -1
"""Comes back for a row whose logits were not numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStart:
    """Sent with the first row of a request in its slot, also after a preemption."""

    sampling: SamplingParams
    seed: int
    stop_token_ids: tuple[int, ...]
    """All tokens that end the request; they are masked while `may_stop` is False."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The tokens of one request that this step computes: one in decode, a chunk of the prompt in prefill."""

    request_id: str
    slot: int
    start: SlotStart | None
    token_ids: tuple[int, ...]
    first_position: int
    """Position of `token_ids[0]`; all tokens before it are in the cache."""
    num_known_blocks: int
    new_block_ids: tuple[int, ...]
    """Blocks to append to the first `num_known_blocks` of the slot's block table."""
    samples: bool
    """Whether the last token's logits are wanted; not so for a chunk in the middle of a prompt."""
    num_generated: int
    """Tokens generated before this one: the counter of the random numbers."""
    may_stop: bool


@dataclass(frozen=True, slots=True)
class Batch:
    rows: tuple[Row, ...]

    @property
    def num_tokens(self) -> int:
        return sum(len(row.token_ids) for row in self.rows)


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """One token for each row with `samples`, in the batch's order."""

    token_ids: tuple[int, ...]


class Pending(Protocol):
    def result(self) -> SampledTokens:
        """Wait for the step to end; raises what the step raised."""
        ...


class Executor(Protocol):
    """Runs batches strictly in the order of submission, so that a later one sees an earlier one's writes."""

    def submit(self, batch: Batch) -> Pending: ...
