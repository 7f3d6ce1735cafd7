"""The weight of y = x Wᵀ + b, kept the way its device multiplies fastest."""

from dataclasses import dataclass

from torch import Tensor

from octavo_kernels.linear.packed import PackedLinear


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Several projections of one input are stacked along the outputs."""

    weight: Tensor | PackedLinear
    """[out, in], or what the compiled kernels read."""
    bias_O: Tensor | None = None
    """Of a plain weight; a packed one has its own."""

    @property
    def plain(self) -> Tensor:
        assert isinstance(self.weight, Tensor), "packed for the compiled kernels"
        return self.weight

    @property
    def packed(self) -> PackedLinear:
        assert isinstance(self.weight, PackedLinear), "not packed"
        return self.weight
