"""The shape of one step's attention; the same for all layers."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AttentionBatch:
    """Rows by their lengths and blocks. The lists are on the host, the tensor is on the device."""

    query_lens: list[int]
    context_lens: list[int]
    block_tables_RB: Tensor
    """int64; each row padded with any valid block to the longest one."""
    num_decode_rows: int
    block_size: int

    @cached_property
    def decode_blocks_RB(self) -> Tensor:
        return self.block_tables_RB[: self.num_decode_rows, : self._num_blocks(self._longest_decode)]

    @cached_property
    def decode_mask_R11L(self) -> Tensor:
        """True for the cache positions that belong to each decode row's context."""
        device = self.block_tables_RB.device
        length = self._num_blocks(self._longest_decode) * self.block_size
        context_lens = torch.tensor(self.context_lens[: self.num_decode_rows], device=device)
        return (torch.arange(length, device=device) < context_lens[:, None])[:, None, None, :]

    @cached_property
    def prefill_masks(self) -> list[Tensor]:
        """For each row after the decode rows, [query_len, context_len]: True where a query may look."""
        device = self.block_tables_RB.device
        lengths = zip(self.query_lens, self.context_lens, strict=True)
        return [
            torch.ones(query_len, context_len, dtype=torch.bool, device=device).tril(context_len - query_len)
            for query_len, context_len in list(lengths)[self.num_decode_rows :]
        ]

    def prefill_blocks_B(self, row: int) -> Tensor:
        return self.block_tables_RB[row, : self._num_blocks(self.context_lens[row])]

    @property
    def _longest_decode(self) -> int:
        return max(self.context_lens[: self.num_decode_rows])

    def _num_blocks(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_size)
