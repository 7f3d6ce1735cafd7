"""The families of models that we serve: each is how its config.json becomes a DecoderSpec."""

from octavo_engine.errors import InvalidModel
from octavo_engine.models.hf_config import HFConfig
from octavo_engine.models.spec import DecoderSpec


def llama(config: HFConfig) -> DecoderSpec:
    """Llama 1 to 3, and all who kept its layout: SmolLM2, TinyLlama, Yi and others."""
    _refuse_unless(config, "hidden_act", ("silu", None))
    _refuse_unless(config, "quantization_config", (None,))
    hidden_size, num_heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    num_kv_heads = config.integer("num_key_value_heads", num_heads)
    if num_heads % num_kv_heads:
        raise InvalidModel(
            f"{config.path}: {num_heads} heads cannot share {num_kv_heads} key-value heads evenly"
        )
    head_dim = config.integer("head_dim", hidden_size // num_heads)
    return DecoderSpec(
        vocab_size=config.integer("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=config.integer("intermediate_size"),
        num_layers=config.integer("num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        rms_norm_eps=config.number("rms_norm_eps", 1e-6),
        rope=config.rope(head_dim),
        max_position_embeddings=config.integer("max_position_embeddings", 2048),
        attention_bias=config.flag("attention_bias"),
        mlp_bias=config.flag("mlp_bias"),
        tie_word_embeddings=config.flag("tie_word_embeddings"),
    )


def mistral(config: HFConfig) -> DecoderSpec:
    """Mistral since 7B v0.2: the layout of Llama. The sliding window of v0.1 is another attention."""
    _refuse_unless(config, "sliding_window", (None,))
    return llama(config)


def _refuse_unless(config: HFConfig, name: str, supported: tuple[object, ...]) -> None:
    value = config.fields.get(name)
    if value not in supported:
        shown = value.get("quant_method", "?") if isinstance(value, dict) else value
        raise InvalidModel(f"{config.path}: {name} {shown!r} is not supported; choose a model without it")
