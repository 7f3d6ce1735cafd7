"""The feed-forward half of a decoder layer."""

from torch import Tensor

from octavo_engine.layers.linear import Linear
from octavo_kernels.silu_mul import silu_mul


class GatedMLP:
    """`gate_up` yields the gate and, behind it, what it gates."""

    def __init__(self, gate_up: Linear, down: Linear) -> None:
        self.gate_up = gate_up
        self.down = down

    def __call__(self, x_TH: Tensor) -> Tensor:
        return self.down(silu_mul(self.gate_up(x_TH)))
