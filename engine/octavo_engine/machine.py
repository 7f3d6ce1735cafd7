"""The machine as it is named beside a measurement or a verdict; read from /proc, without PyTorch."""

import platform
from dataclasses import dataclass
from pathlib import Path

from octavo_engine.worker.host_limits import CGROUP_ROOT, PROC, num_usable_cpus

# From the widest on; the name of /proc/cpuinfo and ours.
_INSTRUCTION_SETS = (
    ("amx_bf16", "AMX"),
    ("avx512_bf16", "AVX-512 with BF16"),
    ("avx512_vnni", "AVX-512 with VNNI"),
    ("avx512f", "AVX-512"),
    ("avx2", "AVX2"),
    ("sve", "SVE"),
    ("asimd", "NEON"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    cpu: str
    num_cpus: int
    """Whole CPUs that this process may use: as many threads compute."""
    instruction_set: str


def read_machine(cgroup_root: Path = CGROUP_ROOT, proc: Path = PROC) -> Machine:
    fields = _first_processor(proc / "cpuinfo")
    flags = set((fields.get("flags") or fields.get("Features", "")).split())
    return Machine(
        cpu=fields.get("model name", platform.machine()),
        num_cpus=num_usable_cpus(cgroup_root, proc),
        instruction_set=next((name for flag, name in _INSTRUCTION_SETS if flag in flags), "baseline"),
    )


def _first_processor(cpuinfo: Path) -> dict[str, str]:
    try:
        paragraph = cpuinfo.read_text().split("\n\n", 1)[0]
    except OSError:  # not on Linux
        return {}
    pairs = (line.partition(":") for line in paragraph.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
