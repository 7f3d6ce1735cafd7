"""What config.json promises is what the decoder takes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from octavo_engine.layers.rope_spec import RopeSpec
from octavo_engine.models.decoder import Decoder
from octavo_engine.models.linear_loader import LinearLoader
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.models.tensor_shapes import Shape, num_parameters, tensor_shapes
from octavo_engine.models.weights import Checkpoint, Target

Switches = dict[str, Any]


def spec(**switches: Any) -> DecoderSpec:
    return DecoderSpec(
        vocab_size=50, hidden_size=24, intermediate_size=40, num_layers=2, num_heads=4, num_kv_heads=2,
        head_dim=8, rms_norm_eps=1e-6, rope=RopeSpec(head_dim=8, theta=10000.0), max_position_embeddings=64,
        **switches,
    )  # fmt: skip


class RecordingCheckpoint(Checkpoint):
    """Has every tensor that it is asked for, and remembers which those were."""

    def __init__(self) -> None:
        super().__init__({}, {}, Target(torch.device("cpu"), torch.float32))
        self.taken: dict[str, Shape] = {}

    def take(self, name: str, shape: Shape) -> Tensor:
        self.taken[name] = shape
        return torch.zeros(shape)


@pytest.mark.parametrize(
    "switches",
    [
        pytest.param({}, id="plain"),
        pytest.param({"tie_word_embeddings": True}, id="tied embeddings"),
        pytest.param({"attention_bias": True, "mlp_bias": True}, id="biases"),
    ],
)
def test_the_named_tensors_are_those_that_the_decoder_takes(switches: Switches) -> None:
    checkpoint = RecordingCheckpoint()
    Decoder(spec(**switches), checkpoint, LinearLoader(checkpoint), max_positions=16)
    assert tensor_shapes(spec(**switches)) == checkpoint.taken


def test_parameters_count_every_tensor_once() -> None:
    embeddings, norms = 50 * 24, 24 * 5
    attention, mlp = 24 * 32 * 2 + 24 * 16 * 2, 24 * 40 * 3
    assert num_parameters(spec(tie_word_embeddings=True)) == embeddings + norms + 2 * (attention + mlp)
