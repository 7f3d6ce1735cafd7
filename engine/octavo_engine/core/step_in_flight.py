"""What the scheduler must remember of a step until its tokens come."""

from dataclasses import dataclass

from octavo_engine.core.batch import Batch, Bools, Int64s, SampledLogprobs, SampledTokens
from octavo_engine.core.slots import Slots


@dataclass(frozen=True, slots=True)
class StepInFlight:
    """The batch and each row's tenancy: a row whose slot was left since then is nobody's."""

    batch: Batch
    tenancy_R: Int64s

    @classmethod
    def of(cls, batch: Batch, slots: Slots) -> "StepInFlight":
        return cls(batch, slots.tenancy_S[batch.slot_R])

    def is_current(self, slots: Slots) -> Bools:
        is_current_R: Bools = slots.tenancy_S[self.batch.slot_R] == self.tenancy_R
        return is_current_R


def only(sampled: SampledTokens, is_kept_N: Bools) -> SampledTokens:
    logprobs = sampled.logprobs
    if logprobs is not None:
        logprobs = SampledLogprobs(
            chosen_N=logprobs.chosen_N[is_kept_N],
            top_token_NK=logprobs.top_token_NK[is_kept_N],
            top_logprob_NK=logprobs.top_logprob_NK[is_kept_N],
        )
    return SampledTokens(sampled.token_N[is_kept_N], logprobs)
