"""The compiled linear layer: right, and bit-equal however many rows and threads there are."""

import pytest
import torch
from native_kernels import each_library, library, needs_both, run_once
from torch import Tensor
from torch.nn.functional import silu

from octavo_kernels.linear.packed import PackedLinear, linear_shape, pack_linear
from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.native.program import ProgramBuilder

DTYPES = [torch.float32, torch.bfloat16]
ROW_COUNTS = [1, 2, 3, 5, 6, 7, 8, 9, 10, 18, 19, 64, 125, 126, 127, 150]


def weights(
    num_outputs: int, num_inputs: int, dtype: torch.dtype, *, scale: float = 0.1
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_outputs)
    weight = torch.randn(num_outputs, num_inputs, generator=generator) * scale
    return weight.to(dtype), torch.randn(num_outputs, generator=generator).to(dtype)


def inputs(num_rows: int, num_inputs: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(num_rows, num_inputs, generator=torch.Generator().manual_seed(9)).to(dtype)


def apply(
    native: NativeLibrary,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    is_gated: bool = False,
    to_float32: bool = False,
) -> Tensor:
    shape = linear_shape(*weight.shape, is_gated=is_gated)
    packed = PackedLinear(pack_linear(native, weight, shape), bias, shape)
    builder = ProgramBuilder(x.dtype)
    source = builder.value(x.shape[1])
    out = builder.linear(source, packed, to_float32=to_float32)
    return run_once(native, builder, {source: x}, [out])[0]


@each_library
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_outputs", [1, 16, 47, 48, 49, 100])
@pytest.mark.parametrize("num_inputs", [16, 80, 576])
def test_it_is_a_matrix_product_plus_a_bias(
    name: str, dtype: torch.dtype, num_outputs: int, num_inputs: int
) -> None:
    x, (weight, bias) = inputs(13, num_inputs, dtype), weights(num_outputs, num_inputs, dtype)
    expected = (x.double() @ weight.double().T + bias.double()).to(dtype)
    # float32 sums of 576 products in another order; bfloat16 rounds the result to 8 bits.
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-2}
    torch.testing.assert_close(apply(library(name), x, weight, bias), expected, **tolerance)


@each_library
@pytest.mark.parametrize("size", [8, 16, 24, 48])
def test_a_gated_layer_multiplies_its_halves(name: str, size: int) -> None:
    x, (weight, bias) = inputs(7, 64, torch.float32), weights(2 * size, 64, torch.float32)
    gate, up = (x.double() @ weight.double().T + bias.double()).chunk(2, dim=1)
    out = apply(library(name), x, weight, bias, is_gated=True)
    torch.testing.assert_close(out, (silu(gate) * up).float(), rtol=1e-4, atol=1e-4)


@each_library
def test_gates_far_from_zero_close_and_open_fully(name: str) -> None:
    x = torch.eye(16)[:3]
    weight = torch.zeros(32, 16)
    weight[:16, 0], weight[:16, 1], weight[:16, 2], weight[16:] = -1000.0, 1000.0, 0.0, 2.0
    out = apply(library(name), x, weight, None, is_gated=True)
    assert out[:, 0].tolist() == pytest.approx([0.0, 2000.0, 0.0], abs=1e-30)


@each_library
def test_logits_of_bfloat16_layers_keep_float32(name: str) -> None:
    x, (weight, _) = inputs(3, 64, torch.bfloat16), weights(40, 64, torch.bfloat16)
    out = apply(library(name), x, weight, None, to_float32=True)
    torch.testing.assert_close(out, (x.double() @ weight.double().T).float(), rtol=1e-5, atol=1e-5)


@each_library
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_gated", [False, True])
def test_a_row_has_the_same_bits_among_any_number_of_rows_and_threads(
    name: str, dtype: torch.dtype, is_gated: bool
) -> None:
    x, (weight, bias) = inputs(150, 208, dtype), weights(112, 208, dtype)
    kind = {
        "is_gated": is_gated,
        "to_float32": dtype == torch.bfloat16 and not is_gated,
    }  # all bits of the sums
    whole = apply(library(name), x, weight, bias, **kind)
    for num_rows in ROW_COUNTS:
        assert torch.equal(apply(library(name), x[:num_rows], weight, bias, **kind), whole[:num_rows])
    for num_threads in (1, 5):
        assert torch.equal(apply(library(name, num_threads), x, weight, bias, **kind), whole)


@needs_both
@pytest.mark.parametrize("dtype", DTYPES)
def test_avx2_and_avx512_agree_to_the_last_bit(dtype: torch.dtype) -> None:
    x, (weight, bias) = inputs(20, 208, dtype), weights(112, 208, dtype)
    outputs = [apply(library(name), x, weight, bias, is_gated=True) for name in ("avx2", "avx512")]
    assert torch.equal(*outputs)
