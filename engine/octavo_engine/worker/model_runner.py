"""Runs batches on one device: the `Executor` of an engine with one rank."""

import torch

from octavo_engine.core.batch import Batch, Pending, SampledTokens
from octavo_engine.worker.forward import Forward
from octavo_engine.worker.sampler import sample, sample_on_device, sampled_tokens
from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.sampling import Sampled


class ModelRunner:
    """On CUDA `submit` returns while the device still works; a later batch takes its tokens from there."""

    def __init__(
        self, forward: Forward, native: NativeLibrary | None, *, max_num_seqs: int, device: torch.device
    ) -> None:
        self._forward = forward
        self._native = native
        self._latest_token_S = torch.zeros(max_num_seqs, dtype=torch.int64, device=device)

    def submit(self, batch: Batch) -> Pending:
        """Never raises: what fails here fails in `result`, as it would for work still under way."""
        try:
            with torch.inference_mode():
                return self._run(batch)
        except Exception as error:
            return FailedStep(error)

    def _run(self, batch: Batch) -> Pending:
        logits_NV = self._forward.logits(batch, self._latest_token_S)
        if not logits_NV.is_cuda:
            return FinishedStep(sample(logits_NV, batch, self._native))
        sampled = sample_on_device(logits_NV, batch, self._latest_token_S)
        slot_N = torch.from_numpy(batch.slot_R[batch.sampled_row_N]).to(logits_NV.device, torch.int64)
        self._latest_token_S[slot_N] = sampled.token_N.clamp(min=0).long()
        return RunningStep(sampled)


class FinishedStep:
    def __init__(self, tokens: SampledTokens) -> None:
        self._tokens = tokens

    def result(self) -> SampledTokens:
        return self._tokens


class RunningStep:
    """Tokens on the device, on their way to the host."""

    def __init__(self, sampled: Sampled) -> None:
        self._sampled = sampled.to_host()
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._done.record()

    def result(self) -> SampledTokens:
        self._done.synchronize()
        return sampled_tokens(self._sampled)


class FailedStep:
    """A step that raised when it was submitted."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self) -> SampledTokens:
        raise self._error
