"""Normalisation of hidden vectors."""

from torch import Tensor

from octavo_kernels.rms_norm import add_rms_norm, rms_norm


class RMSNorm:
    """Called with a residual it adds that first, and returns the sum as the new residual."""

    def __init__(self, weight_H: Tensor, eps: float) -> None:
        self.weight_H = weight_H
        self.eps = eps

    def __call__(self, x_TH: Tensor, residual_TH: Tensor | None) -> tuple[Tensor, Tensor]:
        if residual_TH is None:
            return rms_norm(x_TH, self.weight_H, self.eps), x_TH
        return add_rms_norm(x_TH, residual_TH, self.weight_H, self.eps)
