"""The truth of rms_norm."""

import torch
from torch import Tensor


def rms_norm(x_TH: Tensor, weight_H: Tensor, eps: float) -> Tensor:
    x = x_TH.float()
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)
    return weight_H * (x * scale).to(x_TH.dtype)


def add_rms_norm(x_TH: Tensor, residual_TH: Tensor, weight_H: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    sum_TH = x_TH + residual_TH
    return rms_norm(sum_TH, weight_H, eps), sum_TH
