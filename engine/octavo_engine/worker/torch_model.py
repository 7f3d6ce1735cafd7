"""The model by PyTorch's operations, on whichever device."""

import torch
from torch import Tensor

from octavo_engine.core.batch import LATEST_TOKEN, Batch, Int32s, Pending
from octavo_engine.layers.torch_ops import KVCaches, TorchOps
from octavo_engine.models.decoder import Decoder
from octavo_engine.worker.pending import FinishedStep, RunningStep
from octavo_engine.worker.sampler import sampled_tokens, sampling_rows, sampling_slots
from octavo_kernels.paged_attention import AttentionBatch
from octavo_kernels.sampling import reference


class TorchModel:
    """On CUDA `run` returns while the device still works; a later batch takes its tokens from there."""

    def __init__(
        self,
        decoder: Decoder,
        kv_caches: KVCaches,
        *,
        block_size: int,
        max_num_seqs: int,
        device: torch.device,
    ) -> None:
        self._decoder = decoder
        self._kv_caches = kv_caches
        self._block_size = block_size
        self._device = device
        self._latest_token_S = torch.zeros(max_num_seqs, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def run(self, batch: Batch) -> Pending:
        logits_NV = self._decoder.logits(self._ops(batch))
        rows = sampling_rows(batch, sampling_slots(batch.slots))
        sampled = reference.sample(logits_NV, rows, self._latest_token_S)
        self._latest_token_S[self._place(batch.slot_N)] = sampled.token_N.clamp(min=0).long()
        return RunningStep(sampled) if logits_NV.is_cuda else FinishedStep(sampled_tokens(sampled.numpy()))

    def _ops(self, batch: Batch) -> TorchOps:
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
            input_id_T=self._input_ids(batch),
            slot_mapping_T=self._place(batch.slot_mapping_T),
            sampled_token_N=self._place(batch.sampled_token_N),
            cos_TD=cos_TD,
            sin_TD=sin_TD,
            batch=attention,
        )

    def _input_ids(self, batch: Batch) -> Tensor:
        input_id_T = self._place(batch.input_id_T)
        if batch.input_id_T.min() != LATEST_TOKEN:
            return input_id_T
        slot_T = self._place(batch.slot_R.repeat(_query_lens(batch)))
        return torch.where(input_id_T >= 0, input_id_T, self._latest_token_S[slot_T])

    def _place(self, array: Int32s) -> Tensor:
        return torch.from_numpy(array).to(self._device, torch.int64, non_blocking=True)


def _query_lens(batch: Batch) -> Int32s:
    return batch.query_start_R1[1:] - batch.query_start_R1[:-1]
