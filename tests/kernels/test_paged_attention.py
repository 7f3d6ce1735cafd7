"""The reference against attention written out by hand, with blocks in any order."""

import pytest
import torch
from torch import Tensor

from octavo_kernels.paged_attention import AttentionBatch, paged_attention
from octavo_kernels.write_kv import write_kv

HEAD_DIM = 12


def by_hand(query_QHD: Tensor, key_LHD: Tensor, value_LHD: Tensor, scale: float) -> Tensor:
    """Loops over queries and heads; query i of Q sees the first L - Q + i + 1 tokens."""
    (num_queries, num_heads, _), length = query_QHD.shape, len(key_LHD)
    group = num_heads // key_LHD.shape[1]
    out = torch.empty_like(query_QHD)
    for i in range(num_queries):
        seen = length - num_queries + i + 1
        for head in range(num_heads):
            scores = key_LHD[:seen, head // group] @ query_QHD[i, head] * scale
            out[i, head] = scores.softmax(dim=0) @ value_LHD[:seen, head // group]
    return out


@pytest.mark.parametrize("block_size", [4, 16])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(4, 4), (6, 2), (5, 1)])
@pytest.mark.parametrize(
    "lengths",  # (query, context) of each row
    [
        [(1, 1)],
        [(7, 7)],
        [(1, 33), (1, 1), (1, 16)],
        [(3, 40), (17, 17)],
        [(1, 5), (9, 9), (1, 64), (5, 21)],
    ],
)
def test_rows_equal_attention_over_their_own_tokens(
    lengths: list[tuple[int, int]], num_heads: int, num_kv_heads: int, block_size: int
) -> None:
    torch.manual_seed(1)
    num_blocks = 64
    key_cache = torch.randn(num_blocks, num_kv_heads, HEAD_DIM, block_size)
    value_cache = torch.randn(num_blocks, num_kv_heads, block_size, HEAD_DIM)
    free = torch.randperm(num_blocks).tolist()
    tables = [[free.pop() for _ in range(-(-context // block_size))] for _, context in lengths]
    keys, values = ([torch.randn(n, num_kv_heads, HEAD_DIM) for _, n in lengths] for _ in range(2))
    for key, value, table in zip(keys, values, tables, strict=True):
        slots = [table[i // block_size] * block_size + i % block_size for i in range(len(key))]
        write_kv(key, value, key_cache, value_cache, torch.tensor(slots))
    queries = [torch.randn(q, num_heads, HEAD_DIM) for q, _ in lengths]
    widest = max(map(len, tables))
    batch = AttentionBatch(
        query_lens=[q for q, _ in lengths],
        context_lens=[n for _, n in lengths],
        block_tables_RB=torch.tensor([table + [0] * (widest - len(table)) for table in tables]),
        block_size=block_size,
    )
    out = paged_attention(torch.cat(queries), key_cache, value_cache, batch, scale=0.3)
    expected = [by_hand(*row, 0.3) for row in zip(queries, keys, values, strict=True)]
    # float32 sums of at most 64 terms in another order
    torch.testing.assert_close(out, torch.cat(expected), rtol=1e-5, atol=1e-5)
