"""What makes one decoder differ from another."""

from dataclasses import dataclass

from octavo_engine.layers.rope import RopeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSpec:
    """Sizes and switches of a decoder; a family is a function from config.json to this."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope: RopeSpec
    max_position_embeddings: int
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_word_embeddings: bool = False

    @property
    def num_parameters(self) -> int:
        """Without norms and biases, which weigh nothing beside the rest."""
        num_heads = 2 * self.num_heads + 2 * self.num_kv_heads
        layer = self.hidden_size * (num_heads * self.head_dim + 3 * self.intermediate_size)
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return self.num_layers * layer + embeddings

    def kv_bytes_per_token(self, itemsize: int) -> int:
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * itemsize
