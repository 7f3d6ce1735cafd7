"""What sampling takes and gives: N rows' settings on the host, and their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

Int32s = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRows:
    temperature_N: Floats
    top_p_N: Floats
    top_k_N: Int32s
    """0 keeps all."""
    min_p_N: Floats
    presence_penalty_N: Floats
    frequency_penalty_N: Floats
    repetition_penalty_N: Floats
    seed_N: npt.NDArray[np.uint64]
    num_generated_N: npt.NDArray[np.int64]
    """The counter of the random numbers, also where `token_SL` lacks the last of those tokens."""
    num_logprobs_N: Int32s
    """-1 asks for none, 0 for the sampled token's, k for those of the k best too."""
    banned_N: Sequence[Int32s]
    token_SL: Int32s
    """Known tokens of each slot, prompt first; what penalties count. Ids outside the vocabulary do not."""
    slot_N: Int32s
    num_tokens_N: Int32s
    """Known tokens in the row's slot."""
    num_prompt_tokens_N: Int32s

    def has_penalties_N(self) -> Bools:
        has_penalties_N: Bools = (
            (self.presence_penalty_N != 0)
            | (self.frequency_penalty_N != 0)
            | (self.repetition_penalty_N != 1)
        )
        return has_penalties_N

    def max_logprobs(self) -> int:
        """-1 where no row asks."""
        return int(self.num_logprobs_N.max(initial=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Logprobs:
    """K is the most that a row asks for; what a row did not ask for is NaN, and -1 for a token."""

    chosen_N: Tensor
    top_token_NK: Tensor
    """The best first; int32."""
    top_logprob_NK: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    token_N: Tensor
    """int32; -1 where the logits are not numbers."""
    logprobs: Logprobs | None
    """None where no row asks."""

    def to_host(self) -> "Sampled":
        """From a GPU the copies are on their way, in its current stream, when this returns."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to("cpu", non_blocking=True)

        given = self.logprobs
        return Sampled(
            token_N=moved(self.token_N),
            logprobs=given
            and Logprobs(
                chosen_N=moved(given.chosen_N),
                top_token_NK=moved(given.top_token_NK),
                top_logprob_NK=moved(given.top_logprob_NK),
            ),
        )
