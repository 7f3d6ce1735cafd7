"""The instruction sets that the CPU kernels are compiled for, and which of them this machine has."""

import platform
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionSet:
    name: str
    needs: frozenset[str]
    """Names of the CPU's features as Linux writes them."""
    flags: tuple[str, ...]


_AVX2 = ("-mavx2", "-mfma", "-mf16c", "-mbmi2")
_AVX512 = (*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")

INSTRUCTION_SETS = (
    InstructionSet(
        name="avx512bf16",
        needs=frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16", "fma", "bmi2"}),
        flags=(*_AVX512, "-mavx512bf16"),
    ),
    InstructionSet(
        name="avx512",
        needs=frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "fma", "bmi2"}),
        flags=_AVX512,
    ),
    InstructionSet(name="avx2", needs=frozenset({"avx2", "fma", "f16c", "bmi2"}), flags=_AVX2),
)
"""The best first."""


def supported_instruction_sets(cpuinfo: Path = CPUINFO) -> tuple[InstructionSet, ...]:
    """Those that this machine can run, the best first; none on another architecture."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ()
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return ()
    features = next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())
    return tuple(candidate for candidate in INSTRUCTION_SETS if candidate.needs <= features)
