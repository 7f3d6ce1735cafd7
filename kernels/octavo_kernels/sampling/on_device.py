"""What was sampled, while it still lies on the device: the fields of `Sampled` as tensors."""

from dataclasses import dataclass

from torch import Tensor

from octavo_kernels.sampling.rows import Logprobs, Sampled


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLogprobs:
    chosen_N: Tensor
    top_token_NK: Tensor
    top_logprob_NK: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSampled:
    token_N: Tensor
    logprobs: DeviceLogprobs | None

    def to_host(self) -> "DeviceSampled":
        """From a GPU the copies are on their way, in its current stream, when this returns."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to("cpu", non_blocking=True)

        given = self.logprobs
        return DeviceSampled(
            token_N=moved(self.token_N),
            logprobs=None
            if given is None
            else DeviceLogprobs(
                chosen_N=moved(given.chosen_N),
                top_token_NK=moved(given.top_token_NK),
                top_logprob_NK=moved(given.top_logprob_NK),
            ),
        )

    def numpy(self) -> Sampled:
        """Of tensors on the host whose copies have arrived; they share their memory."""
        given = self.logprobs
        return Sampled(
            token_N=self.token_N.numpy(),
            logprobs=None
            if given is None
            else Logprobs(
                chosen_N=given.chosen_N.numpy(),
                top_token_NK=given.top_token_NK.numpy(),
                top_logprob_NK=given.top_logprob_NK.numpy(),
            ),
        )
