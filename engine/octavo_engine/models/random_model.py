"""A Llama of random weights in a folder, for benches of what does not depend on the weights."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from octavo_engine.models.hf_config import HFConfig
from octavo_engine.models.registry import decoder_spec
from octavo_engine.models.safetensors_headers import SINGLE_FILE
from octavo_engine.models.tensor_shapes import tensor_shapes


def write_random_llama(folder: Path, *, vocab_size: int, max_position_embeddings: int) -> Path:
    """Two layers of width 64 in float32, 8 MB for 32,000 words; without a tokenizer."""
    fields = {
        "architectures": ["LlamaForCausalLM"],
        "torch_dtype": "float32",
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": max_position_embeddings,
        "tie_word_embeddings": True,
    }
    config = folder / "config.json"
    config.write_text(json.dumps(fields))
    generator = torch.Generator().manual_seed(0)
    shapes = tensor_shapes(decoder_spec(HFConfig.read(config)))
    weights = {name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(weights, folder / SINGLE_FILE)
    return folder
