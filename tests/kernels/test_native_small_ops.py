"""The compiled small operations against their references."""

import pytest
import torch
from native_kernels import each_library, empty_step, library, run_once, with_sampled

from octavo_kernels.native.program import HeadShape, ProgramBuilder, StepArrays
from octavo_kernels.rms_norm import add_rms_norm, rms_norm
from octavo_kernels.rope import rope
from octavo_kernels.write_kv import write_kv

TOLERANCE = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-6},  # another order of the sum of squares
    torch.bfloat16: {"rtol": 1e-2, "atol": 1e-2},  # one unit of the last of 8 bits
}
each_dtype = pytest.mark.parametrize("dtype", list(TOLERANCE))


@each_library
@each_dtype
@pytest.mark.parametrize("hidden", [16, 40, 576])
def test_rms_norm_equals_the_reference(name: str, dtype: torch.dtype, hidden: int) -> None:
    x, weight = torch.randn(21, hidden).to(dtype), torch.rand(hidden).to(dtype)
    builder = ProgramBuilder(dtype)
    source = builder.value(hidden)
    out = builder.rms_norm(source, None, weight, 1e-5)
    normed, kept = run_once(library(name), builder, {source: x}, [out, source])
    torch.testing.assert_close(normed, rms_norm(x, weight, 1e-5), **TOLERANCE[dtype])
    assert torch.equal(kept, x)


@each_library
@each_dtype
def test_add_rms_norm_equals_the_reference_and_leaves_the_sum(name: str, dtype: torch.dtype) -> None:
    x, residual, weight = torch.randn(9, 80).to(dtype), torch.randn(9, 80).to(dtype), torch.rand(80).to(dtype)
    builder = ProgramBuilder(dtype)
    source, sum_rows = builder.value(80), builder.value(80)
    out = builder.rms_norm(source, sum_rows, weight, 1e-5)
    normed, total = run_once(library(name), builder, {source: x, sum_rows: residual}, [out, sum_rows])
    expected, expected_total = add_rms_norm(x, residual, weight, 1e-5)
    torch.testing.assert_close(normed, expected, **TOLERANCE[dtype])
    assert torch.equal(total, expected_total)


@each_library
@each_dtype
@pytest.mark.parametrize("head_dim", [16, 48, 64])
def test_rope_rotates_queries_and_stores_rotated_keys_and_values(
    name: str, dtype: torch.dtype, head_dim: int
) -> None:
    heads = HeadShape(num_heads=3, num_kv_heads=1, head_dim=head_dim, block_size=16)
    qkv = torch.randn(5, 5 * head_dim).to(dtype)
    angles = torch.rand(40, head_dim // 2)
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
    positions, places = torch.tensor([3, 4, 39, 0, 1]).int(), torch.tensor([35, 36, 0, 31, 15]).int()
    keys, values = torch.zeros(3, 1, head_dim, 16, dtype=dtype), torch.zeros(3, 1, 16, head_dim, dtype=dtype)
    builder = ProgramBuilder(dtype)
    source = builder.value(5 * head_dim)
    builder.rope_and_write_kv(source, cos, sin, keys, values, heads)
    empty = empty_step(5)
    step = StepArrays(
        input_id_T=empty.input_id_T, position_T=positions.numpy(), slot_mapping_T=places.numpy(),
        query_start_R1=empty.query_start_R1, context_len_R=empty.context_len_R, slot_R=empty.slot_R,
        block_table_SB=empty.block_table_SB, sampled_token_N=empty.sampled_token_N,
    )  # fmt: skip
    (rotated,) = run_once(library(name), builder, {source: qkv}, [source], step)
    before = qkv.view(5, 5, head_dim)
    expected = rope(before[:, :4], cos[positions.long()], sin[positions.long()])
    torch.testing.assert_close(rotated.view(5, 5, head_dim)[:, :4], expected, **TOLERANCE[dtype])
    expected_keys, expected_values = torch.zeros_like(keys), torch.zeros_like(values)
    write_kv(expected[:, 3:], before[:, 4:], expected_keys, expected_values, places.long())
    torch.testing.assert_close(keys, expected_keys, **TOLERANCE[dtype])
    assert torch.equal(values, expected_values)


@each_library
def test_embedding_and_select_copy_rows(name: str) -> None:
    table = torch.randn(30, 24)
    builder = ProgramBuilder(torch.float32)
    tokens = builder.embedding(table)
    chosen = builder.select_sampled(tokens)
    step = with_sampled(empty_step(4), [3, 1])
    step.input_id_T[:] = 7, 29, 0, 7
    all_rows, selected = run_once(library(name), builder, {}, [tokens, chosen], step)
    assert torch.equal(all_rows, table[[7, 29, 0, 7]])
    assert torch.equal(selected, table[[7, 29]])


def test_values_share_memory_only_when_their_lives_do_not_meet() -> None:
    builder = ProgramBuilder(torch.float32)
    weight = torch.ones(64)
    first = builder.value(64)
    rows = [first]
    for _ in range(6):
        rows.append(builder.rms_norm(rows[-1], None, weight, 1e-5))
    places, num_bytes = builder._places([rows[-1], first], 10, 1)
    assert num_bytes == 3 * 10 * 64 * 4  # the input, which is an output too, and two that take turns
    assert places[first.buffer] not in [places[other.buffer] for other in rows[1:]]
