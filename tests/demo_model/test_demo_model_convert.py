"""The parts of the conversion that a wrong value would not make fail loudly."""

import numpy as np
import pytest

from demo_model.convert import as_halves, hugging_face_name
from demo_model.tokenizer import CONTROL, build


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output.weight", "lm_head.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("blk.12.attn_q.weight", "model.layers.12.self_attn.q_proj.weight"),
        ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"),
    ],
)
def test_tensors_get_the_hugging_face_names(name: str, expected: str) -> None:
    assert hugging_face_name(name)[0] == expected


def test_each_head_gets_first_members_of_pairs_then_second_members() -> None:
    weight = np.arange(12).reshape(12, 1)  # two heads of six rows: pairs (0,1) (2,3) (4,5)
    assert as_halves(weight, 2).ravel().tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]


def test_digits_are_never_merged() -> None:
    fields = {
        "tokenizer.ggml.tokens": ["<|end|>", "1", "2", "12", "a", "b", "ab"],
        "tokenizer.ggml.token_type": [CONTROL, 1, 1, 1, 1, 1, 1],
        "tokenizer.ggml.merges": ["1 2", "a b"],
    }
    assert build(fields).encode("ab12<|end|>").tokens == ["ab", "1", "2", "<|end|>"]
