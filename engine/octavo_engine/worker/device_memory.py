"""Which device computes, and what memory it offers now, as a value. A CPU's is read without PyTorch."""

from dataclasses import dataclass, replace
from typing import Literal

from octavo_engine.config import DeviceName
from octavo_engine.errors import AcceleratorFault
from octavo_engine.worker import host_limits

DeviceKind = Literal["cpu", "cuda"]

GPU_CONTEXT_BYTES = 512 << 20
"""What a process holds of a GPU before it has loaded anything; an estimate, for a GPU that is not here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """All in bytes."""

    device: DeviceKind
    device_name: str
    limit: int | None
    """The container's limit, or all that the GPU has; None on a machine that limits nothing."""
    available: int
    """What can be had now."""
    held: int
    """Of the limit, what is gone: to this process on a CPU, to anyone on a GPU."""

    @property
    def offered(self) -> int:
        return self.available if self.limit is None else self.limit

    def holding(self, num_bytes: int) -> "DeviceMemory":
        """As it will be once so much more is held."""
        return replace(self, available=self.available - num_bytes, held=self.held + num_bytes)

    def tightest(self, other: "DeviceMemory") -> "DeviceMemory":
        """The worse of two views of one device."""
        return replace(self, available=min(self.available, other.available), held=max(self.held, other.held))

    def free_share(self, percent: int) -> int:
        """How much may still be taken where `percent` of what is offered is ours; negative if overdrawn."""
        if self.limit is None:
            return self.available * percent // 100
        return min(self.limit * percent // 100 - self.held, self.available)


def choose_device(asked: DeviceName, *, has_cuda: bool) -> DeviceKind:
    if asked == "cuda" and not has_cuda:
        raise AcceleratorFault(
            "--device cuda: PyTorch sees no CUDA device; check the driver, or use --device cpu"
        )
    return "cuda" if has_cuda and asked != "cpu" else "cpu"


def promised_memory(device: DeviceKind, limit: int) -> DeviceMemory:
    """Of an engine that will have all of `limit` to itself, somewhere else."""
    if device == "cpu":
        return DeviceMemory(device="cpu", device_name="CPU", limit=limit, available=limit, held=0)
    rest = limit - GPU_CONTEXT_BYTES
    return DeviceMemory(device="cuda", device_name="GPU", limit=limit, available=rest, held=GPU_CONTEXT_BYTES)


def read_memory(device: DeviceKind) -> DeviceMemory:
    if device == "cpu":
        return DeviceMemory(
            device="cpu",
            device_name="CPU",
            limit=host_limits.memory_limit(),
            available=host_limits.available_memory(),
            held=host_limits.own_memory(),
        )
    import torch  # takes seconds, and is here for a GPU alone

    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    return DeviceMemory(device="cuda", device_name=name, limit=total, available=free, held=total - free)
