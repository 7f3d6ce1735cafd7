"""Root mean square normalisation, with the residual sum before it.

rms_norm(x_TH, weight_H, eps) -> normed_TH
add_rms_norm(x_TH, residual_TH, weight_H, eps) -> (normed_TH, sum_TH)    where sum = x + residual

Squares and their mean are taken in float32; each row's result depends on that row alone.
"""

from octavo_kernels.rms_norm.reference import add_rms_norm, rms_norm

__all__ = ["add_rms_norm", "rms_norm"]
