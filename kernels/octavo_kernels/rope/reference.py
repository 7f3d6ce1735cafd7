"""The truth of rope."""

import torch
from torch import Tensor


def rope(x_THD: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
    first, second = x_THD.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x_THD * cos_TD[:, None] + turned * sin_TD[:, None]).to(x_THD.dtype)
