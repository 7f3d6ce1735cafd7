"""The truth of silu_mul."""

from torch import Tensor
from torch.nn.functional import silu


def silu_mul(gate_up_TI: Tensor) -> Tensor:
    gate, up = gate_up_TI.chunk(2, dim=-1)
    return silu(gate) * up
