"""The memory of the KV cache."""

import math

import numpy as np
import torch
from torch import Tensor

from octavo_engine.models.spec import DecoderSpec


def allocate_kv_caches(
    spec: DecoderSpec, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer in the layout of `octavo_kernels.write_kv`, all zero."""
    size = num_blocks * spec.num_kv_heads * spec.head_dim * block_size
    shape = (spec.num_layers, 2, size)
    if device.type == "cpu":
        # numpy's zeros come from calloc: pages cost memory only once a block is used, torch writes them all.
        flat = torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8))
        caches = flat.view(dtype).view(shape)
    else:
        caches = torch.zeros(shape, dtype=dtype, device=device)
    heads = (num_blocks, spec.num_kv_heads)
    return [
        (keys.view(*heads, spec.head_dim, block_size), values.view(*heads, block_size, spec.head_dim))
        for keys, values in caches.unbind()
    ]
