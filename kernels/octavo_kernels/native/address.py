"""Where a NumPy array lies, for C functions; the caller keeps the array alive."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt


def address(array: npt.NDArray[np.generic], dtype: np.dtype[Any]) -> int:
    """Of a contiguous, writable array of this type; 0 where it is empty.

    By ctypes and not by NumPy, which makes a dictionary of each array's description first.
    """
    assert array.dtype == dtype, f"{array.dtype} instead of {dtype}"
    return ctypes.addressof(ctypes.c_char.from_buffer(array)) if array.size else 0  # type: ignore[arg-type]
