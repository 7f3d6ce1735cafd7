"""Steps on their way: what `submit` gives back."""

import torch

from octavo_engine.core.batch import SampledTokens
from octavo_engine.worker.sampler import sampled_tokens
from octavo_kernels.sampling import DeviceSampled


class FinishedStep:
    def __init__(self, tokens: SampledTokens) -> None:
        self._tokens = tokens

    def result(self) -> SampledTokens:
        return self._tokens


class RunningStep:
    """Tokens on the device, on their way to the host."""

    def __init__(self, sampled: DeviceSampled) -> None:
        self._sampled = sampled.to_host()
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._done.record()

    def result(self) -> SampledTokens:
        self._done.synchronize()
        return sampled_tokens(self._sampled.numpy())


class FailedStep:
    """A step that raised when it was submitted."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self) -> SampledTokens:
        raise self._error
