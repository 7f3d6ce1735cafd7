"""Frozen settings of one engine, by composition; made once at start and validated here alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from octavo_engine.errors import InvalidEngineConfig

DtypeName = Literal["auto", "bfloat16", "float16", "float32"]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """`path` is a folder in the Hugging Face layout; dtype "auto" is the checkpoint's own."""

    path: Path
    dtype: DtypeName = "auto"
    max_model_len: int | None = None
    """None takes the model's own limit, lowered to what the KV cache holds."""
    packed_cache: bool = True
    """Keep packed weights beside the model, where its folder can be written."""

    def __post_init__(self) -> None:
        if self.max_model_len is not None and self.max_model_len < 1:
            raise InvalidEngineConfig(f"--max-model-len {self.max_model_len}: must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Either `memory_bytes` of KV cache, or what `memory_percent` of the device leaves beside the weights.

    On CPU "the device" is the container's memory limit, or the machine's available memory without one.
    """

    block_size: int = 16
    memory_percent: int = 90
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.block_size not in (16, 32):
            raise InvalidEngineConfig(f"--block-size {self.block_size}: choose 16 or 32 tokens")
        if not 10 <= self.memory_percent <= 97:
            raise InvalidEngineConfig(f"--memory-percent {self.memory_percent}: must be between 10 and 97")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise InvalidEngineConfig(f"--kv-cache-memory {self.memory_bytes}: must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """How many requests run at once, and how many tokens one step computes."""

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 512
    max_num_prefill_tokens: int | None = None
    """Prompt tokens of a step in which other requests decode: each makes all of them wait for their next.

    None is `prefill_limit.cpu_prefill_tokens` on a CPU, and no bound on a GPU.
    """

    def __post_init__(self) -> None:
        if self.max_num_seqs < 1:
            raise InvalidEngineConfig(f"--max-num-seqs {self.max_num_seqs}: must be at least 1")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise InvalidEngineConfig(
                f"--max-num-batched-tokens {self.max_num_batched_tokens} is below --max-num-seqs "
                f"{self.max_num_seqs}: every running request needs a token a step; raise the first or "
                "lower the second"
            )
        if self.max_num_prefill_tokens is not None and self.max_num_prefill_tokens < 1:
            raise InvalidEngineConfig(
                f"--max-num-prefill-tokens {self.max_num_prefill_tokens}: must be at least 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    model: ModelConfig
    cache: CacheConfig = field(default_factory=CacheConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    device: DeviceName = "auto"
    seed: int = 0
    """Where a request brings no seed of its own, its seed is drawn from a generator started with this."""
