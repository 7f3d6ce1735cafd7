"""The model by the compiled CPU kernels: a step is two calls, the recorded program and the sampler.

After each of them the processor's caches hold weights and logits instead of PyTorch and NumPy, and making a
tensor, a microsecond's work elsewhere, takes ten or twenty. So a step here makes none, and few arrays.
"""

import torch

from octavo_engine.core.batch import LATEST_TOKEN, Batch, Pending, SlotArrays
from octavo_engine.layers.cpu_ops import CpuOps
from octavo_engine.layers.torch_ops import KVCaches
from octavo_engine.models.decoder import Decoder
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.worker.pending import FinishedStep
from octavo_engine.worker.sampler import sampled_tokens, sampling_rows, sampling_slots
from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.native.program import ProgramBuilder, StepArrays
from octavo_kernels.sampling import NativeSampler

MAX_HEAD_DIM, MAX_QUERY_HEADS = 256, 48
"""Of the compiled attention, the second on one key-value head; a test compares them with its source."""


class ProgramModel:
    """The decoder's operations are recorded at load and run by one call a step."""

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
        logits = decoder.logits(CpuOps(program=builder, kv_caches=kv_caches, rope=decoder.rope))
        self._program = builder.build(native, [logits], max_tokens=max_tokens, max_sampled=max_sampled)
        self._logits_MV = self._program.tensor(logits, max_sampled)
        self._native = native
        self._sampler: NativeSampler | None = None

    def run(self, batch: Batch) -> Pending:
        assert batch.input_id_T.min() != LATEST_TOKEN, "on a CPU there is one step at a time"
        self._program.run(
            StepArrays(
                input_id_T=batch.input_id_T,
                position_T=batch.position_T,
                slot_mapping_T=batch.slot_mapping_T,
                query_start_R1=batch.query_start_R1,
                context_len_R=batch.context_len_R,
                slot_R=batch.slot_R,
                block_table_SB=batch.slots.block_table_SB,
                sampled_token_N=batch.sampled_token_N,
            )
        )
        sampler = self._sampler_over(batch.slots)
        return FinishedStep(sampled_tokens(sampler.sample(sampling_rows(batch, sampler.slots))))

    def _sampler_over(self, slots: SlotArrays) -> NativeSampler:
        """A core makes its slots once, and after its model."""
        if self._sampler is None:
            self._sampler = NativeSampler(sampling_slots(slots), self._logits_MV, self._native)
        assert self._sampler.slots.token_SL is slots.token_SL, "a model serves one core"
        return self._sampler


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
