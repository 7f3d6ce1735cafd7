"""The one decoder: a stack of attention and gated feed-forward layers, shaped by a DecoderSpec."""

from collections.abc import Sequence

from torch import Tensor

from octavo_engine.layers.attention import Attention, ForwardContext
from octavo_engine.layers.embedding import Embedding
from octavo_engine.layers.linear import Linear
from octavo_engine.layers.mlp import GatedMLP
from octavo_engine.layers.norm import RMSNorm
from octavo_engine.layers.rope import Rope
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.models.weights import Checkpoint


class DecoderLayer:
    def __init__(self, spec: DecoderSpec, weights: Checkpoint, prefix: str) -> None:
        norm_shape = (spec.hidden_size,)
        self.input_norm = RMSNorm(
            weights.take(f"{prefix}.input_layernorm.weight", norm_shape), spec.rms_norm_eps
        )
        self.attention = _attention(spec, weights, f"{prefix}.self_attn")
        self.mlp_norm = RMSNorm(
            weights.take(f"{prefix}.post_attention_layernorm.weight", norm_shape), spec.rms_norm_eps
        )
        self.mlp = _mlp(spec, weights, f"{prefix}.mlp")

    def __call__(
        self,
        x_TH: Tensor,
        residual_TH: Tensor | None,
        key_cache: Tensor,
        value_cache: Tensor,
        context: ForwardContext,
    ) -> tuple[Tensor, Tensor]:
        x_TH, residual_TH = self.input_norm(x_TH, residual_TH)
        x_TH = self.attention(x_TH, key_cache, value_cache, context)
        x_TH, residual_TH = self.mlp_norm(x_TH, residual_TH)
        return self.mlp(x_TH), residual_TH


class Decoder:
    """Reads its weights while it is made; afterwards it does not change."""

    def __init__(self, spec: DecoderSpec, weights: Checkpoint) -> None:
        self.spec = spec
        embeddings_VH = weights.take("model.embed_tokens.weight", (spec.vocab_size, spec.hidden_size))
        self.embedding = Embedding(embeddings_VH)
        self.layers = [DecoderLayer(spec, weights, f"model.layers.{i}") for i in range(spec.num_layers)]
        self.norm = RMSNorm(weights.take("model.norm.weight", (spec.hidden_size,)), spec.rms_norm_eps)
        self.head = Linear(
            embeddings_VH
            if spec.tie_word_embeddings
            else weights.take("lm_head.weight", (spec.vocab_size, spec.hidden_size))
        )
        self.rope = Rope(spec.rope, spec.max_position_embeddings, weights.target.device)

    def hidden(
        self, input_ids_T: Tensor, kv_caches: Sequence[tuple[Tensor, Tensor]], context: ForwardContext
    ) -> Tensor:
        """The last layer's output for every token; `kv_caches` are each layer's keys and values."""
        x_TH: Tensor = self.embedding(input_ids_T)
        residual_TH: Tensor | None = None
        for layer, (key_cache, value_cache) in zip(self.layers, kv_caches, strict=True):
            x_TH, residual_TH = layer(x_TH, residual_TH, key_cache, value_cache, context)
        return self.norm(x_TH, residual_TH)[0]

    def logits(self, hidden_RH: Tensor) -> Tensor:
        return self.head(hidden_RH)


def _attention(spec: DecoderSpec, weights: Checkpoint, prefix: str) -> Attention:
    projections = ("q_proj", "k_proj", "v_proj")
    rows = tuple(n * spec.head_dim for n in (spec.num_heads, spec.num_kv_heads, spec.num_kv_heads))
    qkv = _stacked(weights, prefix, projections, rows, spec.hidden_size, has_bias=spec.attention_bias)
    out = _stacked(weights, prefix, ("o_proj",), (spec.hidden_size,), rows[0], has_bias=spec.attention_bias)
    return Attention(
        qkv, out, num_heads=spec.num_heads, num_kv_heads=spec.num_kv_heads, head_dim=spec.head_dim
    )


def _mlp(spec: DecoderSpec, weights: Checkpoint, prefix: str) -> GatedMLP:
    size, bias = spec.intermediate_size, spec.mlp_bias
    gate_up = _stacked(
        weights, prefix, ("gate_proj", "up_proj"), (size, size), spec.hidden_size, has_bias=bias
    )
    down = _stacked(weights, prefix, ("down_proj",), (spec.hidden_size,), size, has_bias=bias)
    return GatedMLP(gate_up, down)


def _stacked(
    weights: Checkpoint,
    prefix: str,
    names: tuple[str, ...],
    rows: tuple[int, ...],
    columns: int,
    *,
    has_bias: bool,
) -> Linear:
    weight = weights.stack(tuple(f"{prefix}.{name}.weight" for name in names), rows, columns)
    bias = weights.stack(tuple(f"{prefix}.{name}.bias" for name in names), rows) if has_bias else None
    return Linear(weight, bias)
