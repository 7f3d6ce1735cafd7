"""A step's logits to its tokens: picks the compiled op or PyTorch's, and speaks the core's language."""

import numpy as np
from torch import Tensor

from octavo_engine.core.batch import Batch, Int32s, SampledLogprobs, SampledTokens
from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.sampling import Sampled, SamplingRows, reference
from octavo_kernels.sampling import sample as sample_rows

_NO_WORDS: Int32s = np.zeros(0, dtype=np.int32)


def sample(logits_NV: Tensor, batch: Batch, library: NativeLibrary | None) -> SampledTokens:
    """On the CPU. The logits (float32, contiguous) are left as they are."""
    return sampled_tokens(sample_rows(logits_NV, sampling_rows(batch), library))


def sample_on_device(logits_NV: Tensor, batch: Batch, latest_token_S: Tensor | None) -> Sampled:
    """On a GPU, without waiting for it; tokens are int32, -1 where the logits were not numbers.

    `latest_token_S` holds each slot's latest token, for penalties of a row whose last token the host does not
    know yet. `sampled_tokens(sampled.to_host())` after the stream has come so far is the answer.
    """
    return reference.sample(logits_NV, sampling_rows(batch), latest_token_S)


def sampled_tokens(sampled: Sampled) -> SampledTokens:
    given = sampled.logprobs
    return SampledTokens(
        token_N=sampled.token_N.numpy(),
        logprobs=None
        if given is None
        else SampledLogprobs(
            chosen_N=given.chosen_N.numpy(),
            top_token_NK=given.top_token_NK.numpy(),
            top_logprob_NK=given.top_logprob_NK.numpy(),
        ),
    )


def sampling_rows(batch: Batch) -> SamplingRows:
    slots = batch.slots
    slot_N = batch.slot_R[batch.sampled_row_N]
    return SamplingRows(
        temperature_N=slots.temperature_S[slot_N],
        top_p_N=slots.top_p_S[slot_N],
        top_k_N=slots.top_k_S[slot_N],
        min_p_N=slots.min_p_S[slot_N],
        presence_penalty_N=slots.presence_penalty_S[slot_N],
        frequency_penalty_N=slots.frequency_penalty_S[slot_N],
        repetition_penalty_N=slots.repetition_penalty_S[slot_N],
        seed_N=slots.seed_S[slot_N],
        num_generated_N=batch.num_generated_N,
        num_logprobs_N=slots.num_logprobs_S[slot_N],
        banned_N=_banned(batch, slot_N),
        token_SL=slots.token_SL,
        slot_N=slot_N,
        num_tokens_N=slots.num_tokens_S[slot_N],
        num_prompt_tokens_N=slots.num_prompt_tokens_S[slot_N],
    )


def _banned(batch: Batch, slot_N: Int32s) -> list[Int32s]:
    """The stop tokens of rows that may not stop yet."""
    if batch.may_stop_N.all():
        return [_NO_WORDS] * len(slot_N)
    stop_token_ids = batch.slots.stop_token_ids
    return [
        _NO_WORDS if may_stop else stop_token_ids[slot]
        for slot, may_stop in zip(slot_N.tolist(), batch.may_stop_N.tolist(), strict=True)
    ]
