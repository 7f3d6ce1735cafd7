"""The gate of a SwiGLU layer.

silu_mul(gate_up_TI) -> out_TI/2      = silu(first half) * second half, along the last dimension
"""

from octavo_kernels.silu_mul.reference import silu_mul

__all__ = ["silu_mul"]
