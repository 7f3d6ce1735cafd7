"""The shape of one step's attention; the same for all layers."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AttentionBatch:
    """Rows by their lengths and blocks. The lists are on the host, the tensor is on the device."""

    query_lens: list[int]
    context_lens: list[int]
    block_tables_RB: Tensor
    """Integers; each row padded with any valid block to the longest one."""
    block_size: int

    @cached_property
    def query_starts(self) -> list[int]:
        return list(accumulate(self.query_lens[:-1], initial=0))

    @cached_property
    def decode_rows(self) -> list[int]:
        """Rows with one token, which are computed all at once."""
        return [row for row, query_len in enumerate(self.query_lens) if query_len == 1]

    @cached_property
    def decode_tokens_R(self) -> Tensor:
        return self._tensor([self.query_starts[row] for row in self.decode_rows])

    @cached_property
    def decode_blocks_RB(self) -> Tensor:
        return self.block_tables_RB[self._tensor(self.decode_rows), : self._num_blocks(self._longest_decode)]

    @cached_property
    def decode_mask_R11L(self) -> Tensor:
        """True for the cache positions that belong to each decode row's context."""
        length = self._num_blocks(self._longest_decode) * self.block_size
        context_lens = self._tensor([self.context_lens[row] for row in self.decode_rows])
        return (self._positions(length) < context_lens[:, None])[:, None, None, :]

    @cached_property
    def prefill_masks(self) -> dict[int, Tensor]:
        """For each row with several tokens, [query_len, context_len]: True where a query may look."""
        lengths = enumerate(zip(self.query_lens, self.context_lens, strict=True))
        device = self.block_tables_RB.device
        return {
            row: torch.ones(query_len, context_len, dtype=torch.bool, device=device).tril(
                context_len - query_len
            )
            for row, (query_len, context_len) in lengths
            if query_len > 1
        }

    def blocks_B(self, row: int) -> Tensor:
        return self.block_tables_RB[row, : self._num_blocks(self.context_lens[row])]

    @property
    def _longest_decode(self) -> int:
        return max(self.context_lens[row] for row in self.decode_rows)

    def _num_blocks(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_size)

    def _tensor(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, device=self.block_tables_RB.device)

    def _positions(self, length: int) -> Tensor:
        return torch.arange(length, device=self.block_tables_RB.device)
