"""From logits to tokens: greedy and random rows in any mixture, and log probabilities of those that ask.

NativeSampler(slots, logits_MV, library).sample(rows)  -> Sampled        on the CPU, compiled
reference.sample(logits_NV, rows, latest_token_S)      -> DeviceSampled  on any device, without waiting for it
sample(logits_NV, rows, library)                       -> Sampled        on the CPU, by one or the other

Logits are float32, contiguous, and are left as they are. For each row, in this order:

1. The repetition penalty divides the positive logits of known tokens (prompt and generated) and multiplies
   the others; then `frequency_penalty` times the number of times a token was generated, and
   `presence_penalty` where it was generated at all, are subtracted. `banned_NK` go to minus infinity.
2. Temperature 0: the best logit's token, of equals the lowest.
3. Else weights e^((logit - best) / temperature). min-p drops those below that share of the best one's,
   top-k then keeps the best k, top-p then the fewest that hold that share of what is left. The order of
   both is: the better logit first, of equals the lower token. (vLLM's order, save that it keeps all of a
   top-k's equals.)
4. `uniforms(seed, num_generated)` of the weights' sum, walked in the order of the vocabulary, is the token.

A row with a NaN, an infinity, or nothing but masked tokens gets -1. Weights count in units of 2^-40 of the
best one's, as integers: no sum depends on an order, so a row's token is the same in every batch, on any
number of threads and on every instruction set. On a GPU the same operations are rounded in the same way,
but no test has compared them yet. Log probabilities are of the logits as given, before step 1.
"""

from torch import Tensor

from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.sampling import reference
from octavo_kernels.sampling.native import NativeSampler
from octavo_kernels.sampling.on_device import DeviceSampled
from octavo_kernels.sampling.rows import Logprobs, Sampled, SamplingRows, SamplingSlots
from octavo_kernels.sampling.uniforms import uniforms

__all__ = [
    "DeviceSampled",
    "Logprobs",
    "NativeSampler",
    "Sampled",
    "SamplingRows",
    "SamplingSlots",
    "reference",
    "sample",
    "uniforms",
]


def sample(logits_NV: Tensor, rows: SamplingRows, library: NativeLibrary | None = None) -> Sampled:
    if library is None:
        return reference.sample(logits_NV, rows).numpy()
    return NativeSampler(rows.slots, logits_NV, library).sample(rows)
