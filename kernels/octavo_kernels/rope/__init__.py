"""Rotary position embedding: turns the halves of each head against each other by an angle of the position.

rope(x_THD, cos_TD, sin_TD) -> rotated_THD

`cos` and `sin` are float32 with the angles repeated for both halves; the result has the dtype of `x`.
"""

from octavo_kernels.rope.reference import rope

__all__ = ["rope"]
