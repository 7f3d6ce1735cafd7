"""y = x Wᵀ + b, with the weight kept the way its device multiplies fastest."""

import torch
from torch import Tensor
from torch.nn.functional import linear


class Linear:
    """`weight` is [out, in]; several projections of the same input are stacked along `out`."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        self.bias_O = bias_O
        self.is_packed = weight_OI.device.type == "cpu" and weight_OI.dtype == torch.bfloat16
        # oneDNN's own block layout, made once instead of at every call.
        self.weight = (
            torch.ops.mkldnn._reorder_linear_weight(weight_OI, None) if self.is_packed else weight_OI
        )

    def __call__(self, x_TI: Tensor) -> Tensor:
        if self.is_packed:
            pointwise = torch.ops.mkldnn._linear_pointwise
            out: Tensor = pointwise(x_TI, self.weight, self.bias_O, "none", [], "")
            return out
        return linear(x_TI, self.weight, self.bias_O)
