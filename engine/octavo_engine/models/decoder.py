"""The one decoder: a stack of attention and gated feed-forward layers, shaped by a DecoderSpec."""

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from octavo_engine.layers.linear import Linear
from octavo_engine.layers.ops import Heads, Ops
from octavo_engine.layers.rope import Rope
from octavo_engine.models.linear_loader import LinearLoader
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.models.weights import Checkpoint

X = TypeVar("X")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecoderLayer:
    """`qkv` yields query, key and value heads in this order; `gate_up` the gates and what they gate."""

    input_norm_H: Tensor
    qkv: Linear
    out: Linear
    mlp_norm_H: Tensor
    gate_up: Linear
    down: Linear


class Decoder:
    """Reads its weights while it is made; afterwards it does not change."""

    def __init__(
        self, spec: DecoderSpec, weights: Checkpoint, linears: LinearLoader, *, max_positions: int
    ) -> None:
        self.spec = spec
        self.heads = Heads(
            num_heads=spec.num_heads,
            num_kv_heads=spec.num_kv_heads,
            head_dim=spec.head_dim,
            scale=spec.head_dim**-0.5,
        )
        vocabulary = (spec.vocab_size, spec.hidden_size)
        self.embedding_VH = weights.take("model.embed_tokens.weight", vocabulary)
        self.layers = [_layer(spec, weights, linears, f"model.layers.{i}") for i in range(spec.num_layers)]
        self.norm_H = weights.take("model.norm.weight", (spec.hidden_size,))
        head = "model.embed_tokens" if spec.tie_word_embeddings else "lm_head"
        self.head = linears.load("", (head,), (spec.vocab_size,), spec.hidden_size)
        self.rope = Rope(spec.rope, max_positions, weights.target.device)

    def logits(self, ops: Ops[X]) -> X:
        """float32 logits of the tokens that are sampled, after a pass of all tokens through all layers."""
        eps = self.spec.rms_norm_eps
        residual = ops.embedding(self.embedding_VH)
        x = ops.rms_norm(residual, self.layers[0].input_norm_H, eps)
        for number, layer in enumerate(self.layers):
            if number > 0:
                x, residual = ops.add_rms_norm(x, residual, layer.input_norm_H, eps)
            x = ops.attention(ops.linear(x, layer.qkv), self.heads, number)
            if number == len(self.layers) - 1:  # of the last layer only keys and values serve other tokens
                x, residual = ops.select_sampled(x), ops.select_sampled(residual)
            x, residual = ops.add_rms_norm(ops.linear(x, layer.out), residual, layer.mlp_norm_H, eps)
            x = ops.linear(ops.gated_linear(x, layer.gate_up), layer.down)
        x, _ = ops.add_rms_norm(x, residual, self.norm_H, eps)
        return ops.logits(x, self.head)


def _layer(spec: DecoderSpec, weights: Checkpoint, linears: LinearLoader, prefix: str) -> DecoderLayer:
    hidden, size = spec.hidden_size, spec.intermediate_size
    attention, mlp = f"{prefix}.self_attn.", f"{prefix}.mlp."
    rows = tuple(n * spec.head_dim for n in (spec.num_heads, spec.num_kv_heads, spec.num_kv_heads))
    biased, mlp_biased = spec.attention_bias, spec.mlp_bias
    return DecoderLayer(
        input_norm_H=weights.take(f"{prefix}.input_layernorm.weight", (hidden,)),
        qkv=linears.load(attention, ("q_proj", "k_proj", "v_proj"), rows, hidden, has_bias=biased),
        out=linears.load(attention, ("o_proj",), (hidden,), rows[0], has_bias=biased),
        mlp_norm_H=weights.take(f"{prefix}.post_attention_layernorm.weight", (hidden,)),
        gate_up=linears.load(
            mlp, ("gate_proj", "up_proj"), (size, size), hidden, has_bias=mlp_biased, is_gated=True
        ),
        down=linears.load(mlp, ("down_proj",), (hidden,), size, has_bias=mlp_biased),
    )
