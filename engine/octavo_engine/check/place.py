"""Where the engine will run: on this machine, or somewhere else of which only what is said here is known."""

from dataclasses import dataclass
from pathlib import Path

from octavo_engine.config import DeviceName
from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.worker.device_memory import (
    DeviceKind,
    DeviceMemory,
    choose_device,
    promised_memory,
    read_memory,
)

# Where there is none of these, PyTorch cannot see a GPU either, and need not be imported to say so.
GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True, slots=True)
class Unknown:
    """Memory that cannot be looked at from here."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """In bytes; None where it is not said."""

    elsewhere: bool = False
    """Nothing of this machine counts."""
    memory_limit: int | None = None
    """Of the engine's container, which is what a CPU offers."""
    accelerator_memory: int | None = None

    def __post_init__(self) -> None:
        given = {"--memory-limit": self.memory_limit, "--accelerator-memory": self.accelerator_memory}
        for flag, num_bytes in given.items():
            if num_bytes is not None and num_bytes < 1:
                raise InvalidEngineConfig(f"{flag} {num_bytes}: must be positive")

    def memory(self, asked: DeviceName) -> DeviceMemory | Unknown:
        """Raises AcceleratorFault where the wanted device should be here and is not."""
        device = self._device(asked)
        promised = self.memory_limit if device == "cpu" else self.accelerator_memory
        if promised is not None:
            return promised_memory(device, promised)
        if not self.elsewhere:
            return read_memory(device)
        if device == "cpu":
            return Unknown("memory, because the engine's container has no limit (--memory-limit)")
        return Unknown("the GPU and its memory, which are not known here (--accelerator-memory)")

    def _device(self, asked: DeviceName) -> DeviceKind:
        if self.accelerator_memory is not None or (self.elsewhere and asked == "cuda"):
            return choose_device(asked, has_cuda=True)
        is_wanted = asked != "cpu" and not self.elsewhere
        return choose_device(asked, has_cuda=is_wanted and _has_cuda())


def _has_cuda() -> bool:
    if not any(Path(node).exists() for node in GPU_NODES):
        return False
    import torch

    return torch.cuda.is_available()
