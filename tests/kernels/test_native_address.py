import numpy as np
import pytest

from octavo_kernels.native.address import address

INT32 = np.dtype(np.int32)


def test_it_is_where_the_first_element_lies() -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert address(array, INT32) == array.ctypes.data
    assert address(array[1:], INT32) == array.ctypes.data + 16


def test_an_empty_array_is_nowhere() -> None:
    assert address(np.zeros((3, 0), dtype=np.int32), INT32) == 0


def test_another_type_is_refused() -> None:
    with pytest.raises(AssertionError, match="int64 instead of int32"):
        address(np.zeros(3, dtype=np.int64), INT32)


def test_an_array_with_gaps_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        address(np.zeros((3, 4), dtype=np.int32)[:, :2], INT32)
