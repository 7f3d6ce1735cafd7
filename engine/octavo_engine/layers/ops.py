"""What a decoder is written in: the operations of one step over its tokens, whoever carries them out.

`X` stands for one row a token: a tensor where operations are carried out as they are called (`torch_ops`), a
buffer of a recorded program on a CPU with compiled kernels (`cpu_ops`). What differs from step to step, such
as which tokens and which blocks, is known to the operations and not to the decoder.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from octavo_engine.layers.linear import Linear

X = TypeVar("X")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Query heads share a key-value head in consecutive groups."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float


class Ops(Protocol[X]):
    def embedding(self, weight_VH: Tensor) -> X:
        """The step's tokens as rows of the table."""
        ...

    def rms_norm(self, x: X, weight_H: Tensor, eps: float) -> X: ...

    def add_rms_norm(self, x: X, residual: X, weight_H: Tensor, eps: float) -> tuple[X, X]:
        """The sum of both, normalised, and the sum; `residual` is not to be used any more."""
        ...

    def linear(self, x: X, weight: Linear) -> X: ...

    def gated_linear(self, x: X, weight: Linear) -> X:
        """silu of the first half of the outputs, times the second."""
        ...

    def attention(self, qkv: X, heads: Heads, layer: int) -> X:
        """Rotate, store in the layer's cache, attend; `qkv` is not to be used any more."""
        ...

    def select_sampled(self, x: X) -> X:
        """The rows of tokens whose logits are wanted."""
        ...

    def logits(self, x: X, weight: Linear) -> X:
        """In float32."""
        ...
