"""What sampling takes and gives on the host: N rows' settings, and their tokens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplingSlots:
    """Settings and known tokens of S requests; contiguous arrays, which may change between steps."""

    temperature_S: Floats
    top_p_S: Floats
    top_k_S: Int32s
    """0 keeps all."""
    min_p_S: Floats
    presence_penalty_S: Floats
    frequency_penalty_S: Floats
    repetition_penalty_S: Floats
    seed_S: npt.NDArray[np.uint64]
    num_logprobs_S: Int32s
    """-1 asks for none, 0 for the sampled token's, k for those of the k best too."""
    token_SL: Int32s
    """Known tokens, prompt first; what penalties count. Ids outside the vocabulary do not."""
    num_tokens_S: Int32s
    """Known tokens in `token_SL`."""
    num_prompt_tokens_S: Int32s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplingRows:
    """N rows, each of which samples the next token of a slot's request."""

    slots: SamplingSlots
    slot_N: Int32s
    num_generated_N: npt.NDArray[np.int64]
    """The counter of the random numbers, also where `token_SL` lacks the last of those tokens."""
    banned_NK: Int32s | None
    """Tokens that a row may not become; what is none of the vocabulary's fills up. None where all may be."""

    def has_penalties_N(self) -> Bools:
        slots, slot_N = self.slots, self.slot_N
        has_penalties_N: Bools = (
            (slots.presence_penalty_S[slot_N] != 0)
            | (slots.frequency_penalty_S[slot_N] != 0)
            | (slots.repetition_penalty_S[slot_N] != 1)
        )
        return has_penalties_N

    def max_logprobs(self) -> int:
        """-1 where no row asks."""
        return int(self.slots.num_logprobs_S[self.slot_N].max(initial=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Logprobs:
    """K is the most that a row asks for; what a row did not ask for is NaN, and -1 for a token."""

    chosen_N: Floats
    top_token_NK: Int32s
    """The best first."""
    top_logprob_NK: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    token_N: Int32s
    """-1 where the logits are not numbers."""
    logprobs: Logprobs | None
    """None where no row asks."""
