"""What a checkpoint says of its rotary embedding. Plain values: reading a config.json needs no tensors."""

from dataclasses import dataclass
from typing import Literal

RopeType = Literal["default", "linear", "llama3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeSpec:
    """What config.json says of the angles; the fields after `factor` belong to llama3."""

    head_dim: int
    theta: float
    type: RopeType = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 1.0
    original_max_position_embeddings: int = 0
