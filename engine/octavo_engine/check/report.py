"""The verdict as values: what `octavo check --json` prints is this, and the table is drawn from it.

`schema` grows by one when a field is renamed or dropped; new fields may come without that.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from octavo_engine.machine import Machine
from octavo_engine.worker.device_memory import DeviceKind

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`exit_code` is that of `errors`; a warning has none, for the model can be served all the same."""

    severity: Literal["error", "warning"]
    message: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    architecture: str
    num_parameters: int
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    checkpoint_dtype: str
    checkpoint_bytes: int
    has_chat_template: bool
    weights_here: bool
    """False while the weights have yet to be downloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """In bytes. `offered` times `percent` is for weights, tables, the work of a step and the KV cache."""

    device: DeviceKind
    device_name: str
    dtype: str
    offered: int
    is_limited: bool
    """False on a machine without a container's limit: then `offered` is what is available now."""
    percent: int
    weights: int
    rope: int
    """The rotary tables, which grow with the context that was asked for."""
    step: int
    kv_per_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    block_size: int
    num_blocks: int
    kv_cache_bytes: int
    num_tokens: int
    """Of the KV cache: what all requests together may hold at once."""
    max_model_len: int
    num_full_requests: int
    """Requests of `max_model_len` tokens that run at once."""
    num_1k_requests: int
    """Requests of 1024 tokens that run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A part is None where a problem kept it from being known, or where it is among `not_checked`."""

    source: str
    machine: Machine
    problems: tuple[Problem, ...] = ()
    model: ModelSummary | None = None
    memory: MemoryUse | None = None
    capacity: Capacity | None = None
    not_checked: tuple[str, ...] = ()
    """What cannot be known here, with the reason: the engine will run somewhere else."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def exit_code(self) -> int:
        return next((problem.exit_code for problem in self.errors if problem.exit_code is not None), 0)

    @property
    def verdict(self) -> str:
        if self.errors:
            return f"cannot be served: {self.errors[0].message}"
        if self.capacity is None:
            assert self.not_checked
            return f"can be read, and the flags are right; not checked: {'; '.join(self.not_checked)}"
        return (
            f"fits: {self.capacity.max_model_len} tokens of context, and "
            f"{_requests(self.capacity.num_full_requests)} of that length at once"
        )

    def to_json(self) -> dict[str, object]:
        fits = False if self.errors else None if self.capacity is None else True
        verdict = {"fits": fits, "exit_code": self.exit_code, "verdict": self.verdict}
        return {"schema": SCHEMA, **verdict, **asdict(self)}


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests"
