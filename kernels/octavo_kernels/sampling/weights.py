"""Weights of tokens relative to the best one's, equal to lanes.h's to the last bit."""

import torch
from torch import Tensor

FIXED_ONE = 2.0**40
LOWEST = -28.125
"""e^-28.07 is 2^-40.5, which still rounds to nothing."""

# Added and taken away again they round to whole numbers. `round` does the same, slowly: PyTorch shares it out
# among threads however short the tensor.
_SHIFTER, _LONG_SHIFTER = 1.5 * 2**23, 1.5 * 2**52

_COEFFICIENTS = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)


def weight_of(y: Tensor) -> Tensor:
    """float32 e^y for y <= 0; operations are rounded one by one, for a fused one would give other bits."""
    clamped = y.clamp(min=-30.0)
    n = (clamped * 1.44269504088896341).add_(_SHIFTER).sub_(_SHIFTER)
    r = (clamped - n * 0.693359375) - n * -2.12194440e-4
    p = torch.full_like(r, _COEFFICIENTS[0])
    for coefficient in _COEFFICIENTS[1:]:
        p.mul_(r).add_(coefficient)
    p = ((r * r) * p).add_(r).add_(1.0)
    power_of_two = ((n.to(torch.int32) + 127) << 23).view(torch.float32)
    return p.mul_(power_of_two).masked_fill_(y < LOWEST, 0.0)


def to_fixed(weight: Tensor) -> Tensor:
    """Whole numbers of 2^-40."""
    return (weight * FIXED_ONE).double().add_(_LONG_SHIFTER).sub_(_LONG_SHIFTER).long()
