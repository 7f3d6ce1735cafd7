"""Between the core's words for sampling and the kernels'."""

from octavo_engine.core.batch import Batch, SampledLogprobs, SampledTokens, SlotArrays
from octavo_kernels.sampling import Sampled, SamplingRows, SamplingSlots


def sampling_slots(slots: SlotArrays) -> SamplingSlots:
    """The same arrays: what the core changes is seen."""
    return SamplingSlots(
        temperature_S=slots.temperature_S,
        top_p_S=slots.top_p_S,
        top_k_S=slots.top_k_S,
        min_p_S=slots.min_p_S,
        presence_penalty_S=slots.presence_penalty_S,
        frequency_penalty_S=slots.frequency_penalty_S,
        repetition_penalty_S=slots.repetition_penalty_S,
        seed_S=slots.seed_S,
        num_logprobs_S=slots.num_logprobs_S,
        token_SL=slots.token_SL,
        num_tokens_S=slots.num_tokens_S,
        num_prompt_tokens_S=slots.num_prompt_tokens_S,
    )


def sampling_rows(batch: Batch, slots: SamplingSlots) -> SamplingRows:
    """`slots` are those of the batch."""
    return SamplingRows(
        slots=slots,
        slot_N=batch.slot_N,
        num_generated_N=batch.num_generated_N,
        banned_NK=batch.banned_NK,
    )


def sampled_tokens(sampled: Sampled) -> SampledTokens:
    given = sampled.logprobs
    return SampledTokens(
        token_N=sampled.token_N,
        logprobs=None
        if given is None
        else SampledLogprobs(
            chosen_N=given.chosen_N,
            top_token_NK=given.top_token_NK,
            top_logprob_NK=given.top_logprob_NK,
        ),
    )
