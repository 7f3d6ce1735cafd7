"""An executor without a model, for benches of the core: every row gets its answer at once."""

from dataclasses import dataclass

import numpy as np

from octavo_engine.core.batch import Batch, Pending, SampledTokens

TOKEN, END_TOKEN = 5, 2


class InstantExecutor:
    """Each request gets `TOKEN` as often as its seed says less one, and then `END_TOKEN`.

    A length that only the executor knows is like a model's: the scheduler cannot plan with it.
    """

    def __init__(self) -> None:
        self.num_tokens = 0
        """How many it was asked to compute."""

    def submit(self, batch: Batch) -> Pending:
        length_N = batch.slots.seed_S[batch.slot_N].astype(np.int64)
        token_N = np.where(batch.num_generated_N + 1 < length_N, TOKEN, END_TOKEN).astype(np.int32)
        self.num_tokens += batch.num_tokens
        return InstantStep(SampledTokens(token_N))


@dataclass(frozen=True, slots=True)
class InstantStep:
    tokens: SampledTokens

    def result(self) -> SampledTokens:
        return self.tokens
