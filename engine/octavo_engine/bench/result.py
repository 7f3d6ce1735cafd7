"""What a bench found, as values, and the JSON that keeps them for a later comparison.

Rates are tokens a second over the whole batch; latencies are milliseconds.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from octavo_engine.errors import InvalidEngineConfig

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What a number means nothing without."""

    model: str
    dtype: str
    device: str
    """A GPU's name, or "CPU"."""
    cpu: str
    num_threads: int
    instruction_set: str
    version: str
    commit: str | None
    """Of the checkout that ran; with "+" where it had changes of its own."""
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """`batch` requests that start together with prompts of one length. Decoding counts from the moment at
    which all have their first token."""

    batch: int
    prompt_tokens: int
    output_tokens: int
    first_token: Latency
    between_tokens: Latency
    prefill_rate: float
    decode_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstResult:
    """Requests of random lengths that arrive at once: prefill and decode share steps. Counts are sums."""

    requests: int
    prompt_tokens: int
    output_tokens: int
    seconds: float
    output_rate: float
    first_token: Latency
    between_tokens: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    environment: Environment
    batches: tuple[BatchResult, ...]
    burst: BurstResult
    schema: int = SCHEMA


def to_json(result: BenchResult) -> str:
    return msgspec.json.format(msgspec.json.encode(asdict(result)), indent=2).decode() + "\n"


def read_result(path: Path) -> BenchResult:
    try:
        return msgspec.json.decode(path.read_bytes(), type=BenchResult)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidEngineConfig(
            f"--compare {path}: not a result of this bench ({error}); give a bench.json of a former run"
        ) from error
