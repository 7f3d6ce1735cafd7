"""How many prompt tokens a step on a CPU may compute while requests decode: their next token waits for it."""

from octavo_engine.models.spec import DecoderSpec
from octavo_engine.models.tensor_shapes import num_parameters

STEP_FLOPS = 27e9
"""A thread's share of such a step: about a quarter of a second of a core with AVX-512."""
LEAST_TOKENS, MOST_TOKENS = 32, 1024
"""Fewer read the weights for too little work; more would only matter for models of a few megabytes."""


def cpu_prefill_tokens(spec: DecoderSpec, num_threads: int) -> int:
    """A multiple of 32. Embedding and head do not count: of a prompt they compute a token at most."""
    ends = spec.vocab_size * spec.hidden_size * (1 if spec.tie_word_embeddings else 2)
    flops_per_token = 2 * (num_parameters(spec) - ends)
    tokens = round(num_threads * STEP_FLOPS / flops_per_token / LEAST_TOKENS) * LEAST_TOKENS
    return min(max(tokens, LEAST_TOKENS), MOST_TOKENS)
