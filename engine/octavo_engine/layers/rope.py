"""The angles of rotary position embedding, and the ways in which checkpoints stretch them."""

import math

import torch
from torch import Tensor

from octavo_engine.layers.rope_spec import RopeSpec


def inverse_frequencies(spec: RopeSpec) -> Tensor:
    """Angle a position, float32, one for each pair of dimensions."""
    exponents = torch.arange(0, spec.head_dim, 2, dtype=torch.int64).float() / spec.head_dim
    frequencies = 1.0 / spec.theta**exponents
    match spec.type:
        case "default":
            return frequencies
        case "linear":
            return frequencies / spec.factor
        case "llama3":
            return _llama3(frequencies, spec)


def _llama3(frequencies: Tensor, spec: RopeSpec) -> Tensor:
    """Long waves are stretched by the factor, short ones kept, those between blended."""
    wavelengths = 2 * math.pi / frequencies
    context = spec.original_max_position_embeddings
    long_wave = context / spec.low_freq_factor
    short_wave = context / spec.high_freq_factor
    blend = (context / wavelengths - spec.low_freq_factor) / (spec.high_freq_factor - spec.low_freq_factor)
    blended = (1 - blend) * frequencies / spec.factor + blend * frequencies
    stretched = torch.where(wavelengths > long_wave, frequencies / spec.factor, frequencies)
    is_between = (wavelengths <= long_wave) & (wavelengths >= short_wave)
    return torch.where(is_between, blended, stretched)


class Rope:
    """A table of cosines and sines for all positions; a step looks its own up once for all layers."""

    def __init__(self, spec: RopeSpec, max_positions: int, device: torch.device) -> None:
        angles_PD = torch.outer(torch.arange(max_positions).float(), inverse_frequencies(spec)).repeat(1, 2)
        self.cos_PD = angles_PD.cos().to(device)
        self.sin_PD = angles_PD.sin().to(device)

    def at(self, positions_T: Tensor) -> tuple[Tensor, Tensor]:
        return self.cos_PD[positions_T], self.sin_PD[positions_T]
