"""What core and worker say to each other: one step as flat arrays, and the tokens that came of it.

A running request holds a *slot*, a number below `max_num_seqs`. What lasts longer than a step (block table,
known tokens, sampling settings) lies in arrays indexed by slot, which the core owns and the worker reads
while it is inside `submit`. All tokens of a step lie one after the other, row by row, without padding.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

LATEST_TOKEN = -1
"""Stands in `input_id_T` for the slot's latest sampled token, which may still be on its way."""

NO_TOKEN = -2
"""Fills up rows of tokens; nothing samples it."""

INVALID_TOKEN = -1
"""Comes back for a row whose logits were not numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotArrays:
    """S slots. Made once by the core: the arrays stay where they are."""

    block_table_SB: Int32s
    token_SL: Int32s
    """The request's known tokens, prompt first; what penalties count."""
    num_tokens_S: Int32s
    """Known tokens in `token_SL`."""
    num_prompt_tokens_S: Int32s
    temperature_S: Floats
    top_p_S: Floats
    top_k_S: Int32s
    min_p_S: Floats
    presence_penalty_S: Floats
    frequency_penalty_S: Floats
    repetition_penalty_S: Floats
    seed_S: UInt64s
    num_logprobs_S: Int32s
    """-1 where the request wants none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """R rows with T tokens in all, of which N rows sample: a row is one token in decode, a chunk in prefill.

    Rows that decode come first.
    """

    slots: SlotArrays
    slot_R: Int32s
    query_start_R1: Int32s
    """Where each row's tokens begin among the T, and T itself at the end."""
    context_len_R: Int32s
    """Tokens that the row's last token attends to, itself included."""
    input_id_T: Int32s
    position_T: Int32s
    slot_mapping_T: Int32s
    """Where each token's key and value go: block * block_size + offset."""
    sampled_row_N: Int32s
    """Rows whose last token's logits are wanted; not so for a chunk in the middle of a prompt."""
    sampled_token_N: Int32s
    """The last tokens of these rows, as indices into the T."""
    slot_N: Int32s
    """The slots of these rows."""
    num_generated_N: Int64s
    """Tokens generated before this one: the counter of the random numbers."""
    banned_NK: Int32s | None
    """The stop tokens of a row that may not stop yet, filled up with `NO_TOKEN`; None where all may."""

    @property
    def num_rows(self) -> int:
        return len(self.slot_R)

    @property
    def num_tokens(self) -> int:
        return len(self.input_id_T)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledLogprobs:
    """For the rows that asked; K is the largest number of alternatives that any of them wants."""

    chosen_N: Floats
    top_token_NK: Int32s
    top_logprob_NK: Floats


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """One token for each of the batch's N sampled rows, in their order."""

    token_N: Int32s
    logprobs: SampledLogprobs | None = None
    """None where no row of the batch wants any."""


class Pending(Protocol):
    def result(self) -> SampledTokens:
        """Wait for the step to end; raises what the step raised."""
        ...


class Executor(Protocol):
    """Runs batches strictly in the order of submission, so that a later one sees an earlier one's writes."""

    def submit(self, batch: Batch) -> Pending: ...
