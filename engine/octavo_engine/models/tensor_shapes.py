"""The tensors that a decoder takes out of its checkpoint, by name: known from config.json alone.

`Decoder` reads exactly these; a test holds the two together.
"""

import math
from collections.abc import Iterator

from octavo_engine.models.spec import DecoderSpec

Shape = tuple[int, ...]


def tensor_shapes(spec: DecoderSpec) -> dict[str, Shape]:
    embeddings = (spec.vocab_size, spec.hidden_size)
    shapes = {"model.embed_tokens.weight": embeddings, "model.norm.weight": (spec.hidden_size,)}
    if not spec.tie_word_embeddings:
        shapes["lm_head.weight"] = embeddings
    for layer in range(spec.num_layers):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in _layer(spec)}
    return shapes


def num_parameters(spec: DecoderSpec) -> int:
    return sum(map(math.prod, tensor_shapes(spec).values()))


def _layer(spec: DecoderSpec) -> Iterator[tuple[str, Shape]]:
    hidden, inner = spec.hidden_size, spec.intermediate_size
    queries, keys = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
    yield "input_layernorm.weight", (hidden,)
    yield "post_attention_layernorm.weight", (hidden,)
    for name, rows, columns in (("q", queries, hidden), ("k", keys, hidden), ("v", keys, hidden),
                                ("o", hidden, queries)):  # fmt: skip
        yield from _linear(f"self_attn.{name}_proj", rows, columns, has_bias=spec.attention_bias)
    for name, rows, columns in (("gate", inner, hidden), ("up", inner, hidden), ("down", hidden, inner)):
        yield from _linear(f"mlp.{name}_proj", rows, columns, has_bias=spec.mlp_bias)


def _linear(name: str, rows: int, columns: int, *, has_bias: bool) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (rows, columns)
    if has_bias:
        yield f"{name}.bias", (rows,)
