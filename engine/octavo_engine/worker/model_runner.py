"""Runs batches on one device: the `Executor` of an engine with one rank."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from octavo_engine.core.batch import Batch, Pending, Row, SampledTokens
from octavo_engine.layers.attention import ForwardContext
from octavo_engine.models.decoder import Decoder
from octavo_engine.worker.inputs import Inputs, make_inputs
from octavo_engine.worker.sampler import SamplingRows, sample
from octavo_engine.worker.slot_table import SlotTable
from octavo_kernels.paged_attention import AttentionBatch

KVCaches = Sequence[tuple[Tensor, Tensor]]


class ModelRunner:
    """Owns the cache's memory and the slots' state. On CUDA `submit` returns while the device still works."""

    def __init__(
        self,
        decoder: Decoder,
        kv_caches: KVCaches,
        *,
        block_size: int,
        max_num_seqs: int,
        max_blocks: int,
        device: torch.device,
    ) -> None:
        self.decoder = decoder
        self.kv_caches = kv_caches
        self.block_size = block_size
        self.device = device
        self.slots = SlotTable(max_num_seqs, max_blocks, decoder.spec.vocab_size)
        self.latest_token_S = torch.zeros(max_num_seqs, dtype=torch.int64, device=device)

    def submit(self, batch: Batch) -> Pending:
        """Never raises: what fails here fails in `result`, as it would for work still under way."""
        try:
            with torch.inference_mode():
                return self._run(batch)
        except Exception as error:
            return FailedStep(error)

    def _run(self, batch: Batch) -> Pending:
        self.slots.apply(batch.rows)
        inputs = make_inputs(batch, self.slots, self.block_size)
        hidden_TH = self.decoder.hidden(self._input_ids(inputs), self.kv_caches, self._context(inputs))
        sampling = [row for row in batch.rows if row.samples]
        if not sampling:
            return RunningStep(torch.empty(0, dtype=torch.int64, device=self.device))
        logits_RV = self.decoder.logits(hidden_TH[self._tensor(inputs.sampled_T)])
        self._mask_stops(logits_RV, sampling)
        slots = np.array([row.slot for row in sampling])
        tokens_R = sample(logits_RV, self._sampling_rows(sampling, slots))
        self.latest_token_S[self._tensor(slots)] = tokens_R.clamp(min=0)
        return RunningStep(tokens_R)

    def _input_ids(self, inputs: Inputs) -> Tensor:
        input_ids_T = self._tensor(inputs.input_ids_T)
        if (inputs.latest_T < 0).all():
            return input_ids_T
        latest_T = self._tensor(inputs.latest_T)
        return torch.where(latest_T >= 0, self.latest_token_S[latest_T.clamp(min=0)], input_ids_T)

    def _context(self, inputs: Inputs) -> ForwardContext:
        cos_TD, sin_TD = self.decoder.rope.at(self._tensor(inputs.positions_T))
        batch = AttentionBatch(
            query_lens=inputs.query_lens,
            context_lens=inputs.context_lens,
            block_tables_RB=self._tensor(inputs.block_tables_RB),
            num_decode_rows=inputs.num_decode_rows,
            block_size=self.block_size,
        )
        return ForwardContext(
            batch=batch, slot_mapping_T=self._tensor(inputs.slot_mapping_T), cos_TD=cos_TD, sin_TD=sin_TD
        )

    def _mask_stops(self, logits_RV: Tensor, rows: Sequence[Row]) -> None:
        for index, row in enumerate(rows):
            if not row.may_stop:
                logits_RV[index, self.slots.stop_token_ids[row.slot]] = -torch.inf

    def _sampling_rows(self, rows: Sequence[Row], slots: npt.NDArray[np.int64]) -> SamplingRows:
        return SamplingRows(
            temperature_R=self.slots.temperature_S[slots],
            top_p_R=self.slots.top_p_S[slots],
            top_k_R=self.slots.top_k_S[slots],
            seed_R=self.slots.seed_S[slots],
            num_generated_R=np.array([row.num_generated for row in rows], dtype=np.uint64),
        )

    def _tensor(self, array: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)


class RunningStep:
    """Tokens on the device, on their way to the host."""

    def __init__(self, tokens_R: Tensor) -> None:
        self._done = torch.cuda.Event() if tokens_R.is_cuda else None  # type: ignore[no-untyped-call]
        self._tokens_R = tokens_R.to("cpu", non_blocking=True)
        if self._done is not None:
            self._done.record()

    def result(self) -> SampledTokens:
        if self._done is not None:
            self._done.synchronize()
        return SampledTokens(tuple(self._tokens_R.tolist()))


class FailedStep:
    """A step that raised when it was submitted."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self) -> SampledTokens:
        raise self._error
