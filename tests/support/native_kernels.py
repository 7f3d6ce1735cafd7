"""The compiled kernels under test: one library for each instruction set that this machine can run."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from octavo_kernels.native.build import build, is_whole, library_name
from octavo_kernels.native.instruction_set import INSTRUCTION_SETS, InstructionSet, supported_instruction_sets
from octavo_kernels.native.library import NativeLibrary, default_cache
from octavo_kernels.native.program import ProgramBuilder, Rows, StepArrays

SUPPORTED = {candidate.name: candidate for candidate in supported_instruction_sets()}

EMULATED = "avx512bf16-emulated"
"""The kernels for AVX-512 BF16 with that instruction written out, for machines that lack it."""

LIBRARIES = [*SUPPORTED, *([EMULATED] if "avx512" in SUPPORTED else [])]


def emulated() -> InstructionSet:
    header = Path(__file__).parent / "emulated_bf16.h"
    flags = INSTRUCTION_SETS[1].flags
    return InstructionSet(
        name=EMULATED, needs=SUPPORTED["avx512"].needs, flags=(*flags, "-include", str(header))
    )


@cache
def library(name: str, num_threads: int = 2) -> NativeLibrary:
    instruction_set = emulated() if name == EMULATED else SUPPORTED[name]
    path = default_cache() / library_name(instruction_set)
    if not is_whole(path):
        build(instruction_set, path.parent)
    return NativeLibrary(path, instruction_set, num_threads)


each_library = pytest.mark.parametrize("name", LIBRARIES)
needs_both = pytest.mark.skipif(not {"avx2", "avx512"} <= SUPPORTED.keys(), reason="needs AVX2 and AVX-512")
needs_one = pytest.mark.skipif(not SUPPORTED, reason="no compiled kernels for this processor")


def empty_step(num_tokens: int) -> StepArrays:
    """For operations that look at nothing but the number of tokens."""
    none, tokens = np.zeros(0, dtype=np.int32), np.zeros(num_tokens, dtype=np.int32)
    return StepArrays(
        input_id_T=tokens, position_T=tokens, slot_mapping_T=tokens, query_start_R1=none, context_len_R=none,
        slot_R=none, block_table_SB=tokens[None], sampled_token_N=none,
    )  # fmt: skip


def run_once(
    native: NativeLibrary,
    builder: ProgramBuilder,
    inputs: dict[Rows, Tensor],
    outputs: list[Rows],
    step: StepArrays | None = None,
) -> list[Tensor]:
    """One step over `inputs`; what it left in `outputs`."""
    num_tokens = len(next(iter(inputs.values()))) if step is None else len(step.input_id_T)
    step = step or empty_step(num_tokens)
    num_sampled = len(step.sampled_token_N)
    program = builder.build(
        native, [*inputs, *outputs], max_tokens=num_tokens, max_sampled=max(1, num_sampled)
    )
    for rows, value in inputs.items():
        program.tensor(rows, num_tokens).copy_(value)
    program.run(step)
    return [program.tensor(rows, num_sampled if rows.of_sampled else num_tokens).clone() for rows in outputs]


def with_sampled(step: StepArrays, tokens: list[int]) -> StepArrays:
    return replace(step, sampled_token_N=np.array(tokens, dtype=np.int32))
