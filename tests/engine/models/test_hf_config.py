import json
from pathlib import Path
from typing import Any

import pytest

from octavo_engine.errors import InvalidModel, ModelNotFound
from octavo_engine.layers.rope_spec import RopeSpec
from octavo_engine.models.hf_config import HFConfig, read_eos_token_ids
from octavo_engine.models.registry import decoder_spec

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "hidden_act": "silu",
}
PATH = Path("/models/x/config.json")


def config(**fields: Any) -> HFConfig:
    return HFConfig(PATH, LLAMA | fields)


def test_rope_of_the_older_and_the_newer_layout_is_the_same() -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1,
        "high_freq_factor": 4,
        "original_max_position_embeddings": 8192,
    }
    older = config(rope_theta=500000.0, rope_scaling=scaling)
    newer = config(rope_parameters=scaling | {"rope_theta": 500000.0})
    assert older.rope(16) == newer.rope(16)
    assert older.rope(16) == RopeSpec(
        head_dim=16,
        theta=500000.0,
        type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )


def test_a_config_without_rope_fields_has_the_default() -> None:
    assert config().rope(16) == RopeSpec(head_dim=16, theta=10000.0)


def test_the_oldest_name_of_the_rope_type_is_known() -> None:
    assert config(rope_scaling={"type": "linear", "factor": 2.0}).rope(16).factor == 2.0


def test_missing_fields_take_the_values_they_stand_for() -> None:
    spec = decoder_spec(HFConfig(PATH, {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}))
    assert (spec.num_kv_heads, spec.head_dim, spec.tie_word_embeddings) == (4, 16, False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"architectures": ["MambaForCausalLM"]},
            "MambaForCausalLM is not supported; supported are LlamaFor",
        ),
        ({"architectures": []}, "must name the model's class"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide', but must be a positive integer"),
        ({"num_hidden_layers": None}, "num_hidden_layers is None"),
        ({"num_key_value_heads": 3}, "4 heads cannot share 3 key-value heads"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope type 'yarn' is not supported"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor is None, but must be a positive number"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config 'awq' is not supported"),
        ({"attention_bias": "yes"}, "attention_bias is 'yes'"),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 4096}, "sliding_window 4096"),
    ],
)
def test_what_we_cannot_serve_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidModel, match=message) as raised:
        decoder_spec(config(**fields))
    assert str(PATH) in str(raised.value)


def test_mistral_without_a_window_is_served() -> None:
    assert decoder_spec(config(architectures=["MistralForCausalLM"], sliding_window=None)).num_layers == 2


@pytest.mark.parametrize("field", ["dtype", "torch_dtype"])
def test_both_names_of_the_dtype_are_read(field: str) -> None:
    assert config(**{field: "bfloat16"}).dtype() == "bfloat16"


def test_an_unknown_dtype_is_an_error() -> None:
    with pytest.raises(InvalidModel, match="dtype is 'float8_e4m3fn'"):
        config(dtype="float8_e4m3fn").dtype()


def test_end_tokens_come_from_both_files(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 2]}))
    assert read_eos_token_ids(tmp_path, config(eos_token_id=2)) == (2, 7)
    (tmp_path / "generation_config.json").unlink()
    assert read_eos_token_ids(tmp_path, config(eos_token_id=None)) == ()


def test_a_missing_and_a_broken_file_are_different_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="does not exist"):
        HFConfig.read(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidModel, match="cannot be read as JSON"):
        HFConfig.read(tmp_path / "config.json")
