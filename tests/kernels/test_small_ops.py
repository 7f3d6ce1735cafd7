import torch

from octavo_kernels.rms_norm import add_rms_norm, rms_norm
from octavo_kernels.rope import rope
from octavo_kernels.silu_mul import silu_mul
from octavo_kernels.write_kv import write_kv


def test_rms_norm_gives_rows_of_unit_mean_square_times_the_weight() -> None:
    x, weight = torch.randn(5, 32) * 7, torch.rand(32)
    mean_square = (rms_norm(x, weight, 0.0) / weight).square().mean(dim=-1)
    torch.testing.assert_close(mean_square, torch.ones(5))


def test_rms_norm_of_half_precision_squares_in_float32() -> None:
    x = torch.full((1, 64), 300.0, dtype=torch.float16)  # the square is beyond float16
    assert rms_norm(x, torch.ones(64, dtype=torch.float16), 1e-6).tolist() == [[1.0] * 64]


def test_epsilon_keeps_a_zero_row_finite() -> None:
    assert rms_norm(torch.zeros(1, 4), torch.ones(4), 1e-6).tolist() == [[0.0] * 4]


def test_add_rms_norm_is_the_norm_of_the_sum_and_the_sum() -> None:
    x, residual, weight = torch.randn(3, 8), torch.randn(3, 8), torch.rand(8)
    normed, total = add_rms_norm(x, residual, weight, 1e-5)
    assert torch.equal(total, x + residual)
    assert torch.equal(normed, rms_norm(x + residual, weight, 1e-5))


def test_rope_turns_each_pair_of_halves_by_its_angle() -> None:
    x, angles = torch.randn(2, 3, 8), torch.rand(2, 4)
    turned = rope(x, angles.cos().repeat(1, 2), angles.sin().repeat(1, 2))
    as_complex = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones(2, 4), angles)[:, None]
    torch.testing.assert_close(turned, torch.cat((as_complex.real, as_complex.imag), dim=-1))


def test_rope_keeps_the_dtype() -> None:
    x, angles = torch.randn(2, 3, 8).bfloat16(), torch.rand(2, 8)
    assert rope(x, angles.cos(), angles.sin()).dtype == torch.bfloat16


def test_silu_mul_gates_the_second_half_with_the_first() -> None:
    gate, up = torch.randn(4, 6), torch.randn(4, 6)
    torch.testing.assert_close(silu_mul(torch.cat((gate, up), dim=1)), gate / (1 + (-gate).exp()) * up)


def test_write_kv_touches_its_slots_alone() -> None:
    keys, values = torch.zeros(3, 1, 2, 4), torch.zeros(3, 1, 4, 2)  # blocks of four tokens
    write_kv(torch.ones(2, 1, 2), 2 * torch.ones(2, 1, 2), keys, values, torch.tensor([5, 11]))
    assert keys.nonzero().tolist() == [[1, 0, 0, 1], [1, 0, 1, 1], [2, 0, 0, 3], [2, 0, 1, 3]]
    assert values[1, 0, 1].tolist() == [2.0, 2.0]
    assert values.sum() == 8
