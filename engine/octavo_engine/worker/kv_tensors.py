"""The memory of the KV cache."""

import math

import numpy as np
import torch
from torch import Tensor

from octavo_engine.models.spec import DecoderSpec


def allocate_kv_caches(
    spec: DecoderSpec, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, [blocks, block_size, kv_heads, head_dim], all zero."""
    shape = (spec.num_layers, 2, num_blocks, block_size, spec.num_kv_heads, spec.head_dim)
    if device.type == "cpu":
        # numpy's zeros come from calloc: pages cost memory only once a block is used, torch writes them all.
        flat = torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8))
        caches = flat.view(dtype).view(shape)
    else:
        caches = torch.zeros(shape, dtype=dtype, device=device)
    return [(keys, values) for keys, values in caches.unbind()]
