"""A step's prompt tokens on a CPU are what it computes in a bounded time, whatever the model's size."""

from dataclasses import replace

from octavo_engine.layers.rope_spec import RopeSpec
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.prefill_limit import cpu_prefill_tokens

SMOLLM2_135M = DecoderSpec(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_layers=30,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    rms_norm_eps=1e-5,
    rope=RopeSpec(head_dim=64, theta=100_000.0),
    max_position_embeddings=8192,
    tie_word_embeddings=True,
)


def test_a_model_three_times_as_large_computes_a_third_of_the_tokens() -> None:
    larger = replace(SMOLLM2_135M, num_layers=90)
    assert (cpu_prefill_tokens(SMOLLM2_135M, 2), cpu_prefill_tokens(larger, 2)) == (256, 96)


def test_threads_count() -> None:
    assert cpu_prefill_tokens(SMOLLM2_135M, 4) == 512


def test_embedding_and_head_do_not_count() -> None:
    untied = replace(SMOLLM2_135M, tie_word_embeddings=False, vocab_size=150_000)
    assert cpu_prefill_tokens(untied, 2) == 256


def test_it_stays_within_its_bounds() -> None:
    assert cpu_prefill_tokens(replace(SMOLLM2_135M, num_layers=3000), 2) == 32
    assert cpu_prefill_tokens(replace(SMOLLM2_135M, num_layers=1), 2) == 1024
