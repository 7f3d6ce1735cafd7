"""The compiled attention against the reference, and its promise: the same bits for any cut of the work."""

import numpy as np
import pytest
import torch
from native_kernels import each_library, library, needs_both, run_once
from torch import Tensor

from octavo_kernels.native.program import HeadShape, ProgramBuilder, StepArrays
from octavo_kernels.paged_attention import AttentionBatch, paged_attention
from octavo_kernels.rope import rope
from octavo_kernels.write_kv import write_kv

MAX_POSITIONS = 2048


class Cache:
    """Blocks in random order, as many as the longest context needs for each of four slots, full of noise."""

    def __init__(
        self, heads: HeadShape, dtype: torch.dtype, max_len: int = 1700, *, noise: float = 1.0
    ) -> None:
        generator = torch.Generator().manual_seed(4)
        blocks_a_slot = -(-max_len // heads.block_size)
        self.heads, self.dtype = heads, dtype
        table = torch.randperm(4 * blocks_a_slot, generator=generator).to(torch.int32)
        self.table_SB = table.view(4, blocks_a_slot)
        shape = (4 * blocks_a_slot, heads.num_kv_heads)
        self.keys = torch.full((*shape, heads.head_dim, heads.block_size), noise, dtype=dtype)
        self.values = torch.full((*shape, heads.block_size, heads.head_dim), noise, dtype=dtype)
        self.qkv_SLW = torch.randn(
            4, max_len, (heads.num_heads + 2 * heads.num_kv_heads) * heads.head_dim, generator=generator
        ).to(dtype)
        angles = torch.rand(MAX_POSITIONS, heads.head_dim // 2, generator=generator) * 6
        self.cos_PD, self.sin_PD = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def step(self, rows: list[tuple[int, int, int]]) -> StepArrays:
        """Rows of (slot, first position, number of tokens)."""
        size = self.heads.block_size
        positions = torch.cat([torch.arange(first, first + count) for _, first, count in rows]).int()
        slots = torch.cat([torch.full((count,), slot) for slot, _, count in rows])
        places = self.table_SB[slots, positions.long() // size] * size + positions % size
        starts = torch.tensor([0, *(count for _, _, count in rows)]).cumsum(0).int()
        return StepArrays(
            input_id_T=positions.numpy(), position_T=positions.numpy(),
            slot_mapping_T=places.int().numpy(), query_start_R1=starts.numpy(),
            context_len_R=np.array([first + count for _, first, count in rows], dtype=np.int32),
            slot_R=np.array([slot for slot, _, _ in rows], dtype=np.int32),
            block_table_SB=self.table_SB.numpy(), sampled_token_N=np.zeros(0, dtype=np.int32),
        )  # fmt: skip

    def qkv(self, rows: list[tuple[int, int, int]]) -> Tensor:
        return torch.cat([self.qkv_SLW[slot, first : first + count] for slot, first, count in rows])

    def run(self, name: str, rows: list[tuple[int, int, int]], num_threads: int = 2) -> Tensor:
        builder = ProgramBuilder(self.dtype)
        source = builder.value(self.qkv_SLW.shape[2])
        builder.rope_and_write_kv(source, self.cos_PD, self.sin_PD, self.keys, self.values, self.heads)
        out = builder.paged_attention(source, self.keys, self.values, self.heads, 0.25)
        native = library(name, num_threads)
        return run_once(native, builder, {source: self.qkv(rows)}, [out], self.step(rows))[0]

    def reference(self, rows: list[tuple[int, int, int]]) -> Tensor:
        heads, step = self.heads, self.step(rows)
        qkv_THD = self.qkv(rows).view(len(step.position_T), -1, heads.head_dim)
        num_rotated = heads.num_heads + heads.num_kv_heads
        cos_TD, sin_TD = (table[step.position_T] for table in (self.cos_PD, self.sin_PD))
        rotated = rope(qkv_THD[:, :num_rotated], cos_TD, sin_TD)
        keys, values = self.keys.clone(), self.values.clone()
        write_kv(
            rotated[:, heads.num_heads :],
            qkv_THD[:, num_rotated:],
            keys,
            values,
            torch.from_numpy(step.slot_mapping_T).long(),
        )
        batch = AttentionBatch(
            query_lens=[count for _, _, count in rows],
            context_lens=step.context_len_R.tolist(),
            block_tables_RB=self.table_SB[step.slot_R].long(),
            block_size=heads.block_size,
        )
        out = paged_attention(
            rotated[:, : heads.num_heads].float(), keys.float(), values.float(), batch, 0.25
        )
        return out.flatten(1).to(self.dtype)


def head_shape(
    num_heads: int = 6, num_kv_heads: int = 2, head_dim: int = 32, block_size: int = 16
) -> HeadShape:
    return HeadShape(num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, block_size=block_size)


ROWS = [
    [(0, 0, 1)],
    [(2, 0, 37)],
    [(0, 0, 5), (3, 0, 64), (1, 0, 65)],
    [(1, 0, 700)],
]


@each_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "heads",
    [
        head_shape(),
        head_shape(block_size=32),
        head_shape(num_heads=4, num_kv_heads=4, head_dim=16),
        head_shape(num_heads=7, num_kv_heads=1, head_dim=80),
        head_shape(num_heads=3, num_kv_heads=3, head_dim=256),
    ],
)
@pytest.mark.parametrize("rows", ROWS)
def test_it_equals_the_reference(
    name: str, dtype: torch.dtype, heads: HeadShape, rows: list[tuple[int, int, int]]
) -> None:
    cache = Cache(heads, dtype, max_len=800)
    expected = cache.reference(rows)
    # Another order of float32 sums; in bfloat16 the result is rounded to 8 bits.
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(cache.run(name, rows), expected, **tolerance)


@each_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_prompt_in_chunks_or_token_by_token_has_the_bits_of_the_whole(
    name: str, dtype: torch.dtype
) -> None:
    length = 1100  # beyond two splits
    whole = Cache(head_shape(), dtype).run(name, [(0, 0, length)])
    cache = Cache(head_shape(), dtype)
    first = 0
    for count in (1, 15, 16, 17, 64, 3, 396, 1, 1, 500):
        chunk = cache.run(name, [(0, first, count)])
        assert torch.equal(chunk, whole[first : first + count])
        first += count
    for position in range(first, length):
        assert torch.equal(cache.run(name, [(0, position, 1)]), whole[position : position + 1])


@each_library
def test_a_row_has_the_same_bits_among_others_and_with_any_number_of_threads(name: str) -> None:
    alone = Cache(head_shape(), torch.bfloat16).run(name, [(1, 0, 900)])
    for num_threads in (1, 2, 5):
        cache = Cache(head_shape(), torch.bfloat16)
        together = cache.run(name, [(0, 0, 33), (1, 0, 900), (2, 0, 1)], num_threads)
        assert torch.equal(together[33:933], alone)
        cache.run(name, [(1, 0, 899), (3, 0, 600)], num_threads)
        decode = cache.run(name, [(3, 600, 1), (1, 899, 1), (0, 33, 1)], num_threads)
        assert torch.equal(decode[1:2], alone[899:])


@each_library
def test_what_lies_in_a_block_past_the_context_does_not_count(name: str) -> None:
    rows = [(0, 0, 21), (1, 0, 1)]
    clean = Cache(head_shape(), torch.float32).run(name, rows)
    assert torch.equal(Cache(head_shape(), torch.float32, noise=float("nan")).run(name, rows), clean)


@needs_both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_avx2_and_avx512_agree_to_the_last_bit(dtype: torch.dtype) -> None:
    rows = [(0, 0, 600), (1, 0, 3)]
    assert torch.equal(*(Cache(head_shape(), dtype).run(name, rows) for name in ("avx2", "avx512")))
