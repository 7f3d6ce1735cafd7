"""What engines must have in common to say the same tokens bit for bit, as one short string."""

import hashlib
from pathlib import Path

from octavo_engine import __version__
from octavo_engine.models.model_facts import ModelFacts
from octavo_engine.models.model_identity import model_identity
from octavo_kernels.native.build import library_name
from octavo_kernels.native.instruction_set import INSTRUCTION_SETS
from octavo_kernels.native.library import NativeLibrary


def exactness(
    folder: Path, facts: ModelFacts, max_model_len: int, block_size: int, native: NativeLibrary | None
) -> str:
    """Equal for engines that answer a request with a seed alike; "" where one may differ from itself.

    PyTorch's kernels, on a GPU and on a CPU, give a row other bits in another batch: without ours it is "".
    """
    if native is None:
        return ""
    deciding = (
        __version__,
        library_name(INSTRUCTION_SETS[-1]),  # names the kernels' sources, whatever this machine runs of them
        _arithmetic(native.instruction_set.name, facts.dtype),
        facts.dtype,
        max_model_len,  # ends an answer that has no max_tokens
        block_size,
        facts.eos_token_ids,
        model_identity(folder),
    )
    return hashlib.sha256(repr(deciding).encode()).hexdigest()[:32]


def _arithmetic(instruction_set: str, dtype: str) -> str:
    """Only the instruction for products of bf16 rounds in its own way; AVX2 and AVX-512 agree."""
    return instruction_set if (instruction_set, dtype) == ("avx512bf16", "bfloat16") else "common"
