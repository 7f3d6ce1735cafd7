"""From a batch to the logits of its sampled rows, on whichever device."""

from typing import Protocol

import torch
from torch import Tensor

from octavo_engine.core.batch import LATEST_TOKEN, Batch, Int32s
from octavo_engine.layers.cpu_ops import CpuOps
from octavo_engine.layers.torch_ops import KVCaches, TorchOps
from octavo_engine.models.decoder import Decoder
from octavo_engine.models.spec import DecoderSpec
from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.native.program import ProgramBuilder, StepArrays
from octavo_kernels.paged_attention import AttentionBatch

MAX_HEAD_DIM, MAX_QUERY_HEADS = 256, 48
"""Of the compiled attention, the second on one key-value head; a test compares them with its source."""


class Forward(Protocol):
    def logits(self, batch: Batch, latest_token_S: Tensor) -> Tensor:
        """float32 [N, vocabulary], valid until the next call. `latest_token_S`: each slot's last sample."""
        ...


class ProgramForward:
    """The compiled CPU kernels: the decoder's operations are recorded at load and run by one call a step."""

    def __init__(
        self,
        decoder: Decoder,
        kv_caches: KVCaches,
        native: NativeLibrary,
        *,
        max_tokens: int,
        max_sampled: int,
    ) -> None:
        builder = ProgramBuilder(kv_caches[0][0].dtype)
        self._logits = decoder.logits(CpuOps(program=builder, kv_caches=kv_caches, rope=decoder.rope))
        self._program = builder.build(native, [self._logits], max_tokens=max_tokens, max_sampled=max_sampled)

    def logits(self, batch: Batch, latest_token_S: Tensor) -> Tensor:
        assert batch.input_id_T.min() != LATEST_TOKEN, "on a CPU there is one step at a time"
        self._program.run(
            StepArrays(
                input_id_T=_tensor(batch.input_id_T),
                position_T=_tensor(batch.position_T),
                slot_mapping_T=_tensor(batch.slot_mapping_T),
                query_start_R1=_tensor(batch.query_start_R1),
                context_len_R=_tensor(batch.context_len_R),
                slot_R=_tensor(batch.slot_R),
                block_table_SB=_tensor(batch.slots.block_table_SB),
                sampled_token_N=_tensor(_sampled_tokens(batch)),
            )
        )
        return self._program.tensor(self._logits, len(batch.sampled_row_N))


class TorchForward:
    """PyTorch's operations: on CUDA `logits` returns while the device still works."""

    def __init__(
        self, decoder: Decoder, kv_caches: KVCaches, *, block_size: int, device: torch.device
    ) -> None:
        self._decoder = decoder
        self._kv_caches = kv_caches
        self._block_size = block_size
        self._device = device

    def logits(self, batch: Batch, latest_token_S: Tensor) -> Tensor:
        return self._decoder.logits(self._ops(batch, latest_token_S))

    def _ops(self, batch: Batch, latest_token_S: Tensor) -> TorchOps:
        cos_TD, sin_TD = self._decoder.rope.at(self._place(batch.position_T))
        max_blocks = -(-int(batch.context_len_R.max()) // self._block_size)
        attention = AttentionBatch(
            query_lens=_query_lens(batch).tolist(),
            context_lens=batch.context_len_R.tolist(),
            block_tables_RB=self._place(batch.slots.block_table_SB[batch.slot_R, :max_blocks]),
            block_size=self._block_size,
        )
        return TorchOps(
            kv_caches=self._kv_caches,
            input_id_T=self._input_ids(batch, latest_token_S),
            slot_mapping_T=self._place(batch.slot_mapping_T),
            sampled_token_N=self._place(_sampled_tokens(batch)),
            cos_TD=cos_TD,
            sin_TD=sin_TD,
            batch=attention,
        )

    def _input_ids(self, batch: Batch, latest_token_S: Tensor) -> Tensor:
        input_id_T = self._place(batch.input_id_T)
        if batch.input_id_T.min() != LATEST_TOKEN:
            return input_id_T
        slot_T = self._place(batch.slot_R.repeat(_query_lens(batch)))
        return torch.where(input_id_T >= 0, input_id_T, latest_token_S[slot_T])

    def _place(self, array: Int32s) -> Tensor:
        return _tensor(array).to(self._device, torch.int64, non_blocking=True)


def unsupported_by_native(spec: DecoderSpec, dtype: torch.dtype) -> str | None:
    """What of the model the compiled kernels cannot compute."""
    if dtype not in (torch.float32, torch.bfloat16):
        return f"dtype {str(dtype).removeprefix('torch.')} (--dtype bfloat16 has them)"
    if spec.head_dim % 16 or spec.head_dim > MAX_HEAD_DIM:
        return f"heads of {spec.head_dim} dimensions"
    if spec.num_heads // spec.num_kv_heads > MAX_QUERY_HEADS:
        return f"{spec.num_heads // spec.num_kv_heads} query heads on one key-value head"
    if spec.hidden_size % 16 or spec.intermediate_size % 16:
        return f"layers of {spec.hidden_size} and {spec.intermediate_size}"
    return None


def _tensor(array: Int32s) -> Tensor:
    return torch.from_numpy(array)


def _query_lens(batch: Batch) -> Int32s:
    return batch.query_start_R1[1:] - batch.query_start_R1[:-1]


def _sampled_tokens(batch: Batch) -> Int32s:
    """A row's logits come of its last token."""
    return batch.query_start_R1[batch.sampled_row_N + 1] - 1
