from pathlib import Path

import pytest

from octavo_engine.machine import Machine, read_machine


def machine(folder: Path, cpuinfo: str) -> Machine:
    (folder / "cpuinfo").write_text(cpuinfo)
    return read_machine(folder, folder)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("sse4_2 avx2", "AVX2"),
        ("avx2 avx512f avx512_vnni avx512_bf16 amx_bf16", "AMX"),
        ("avx2 avx512f avx512_vnni", "AVX-512 with VNNI"),
        ("sse2", "baseline"),
    ],
)
def test_the_widest_instruction_set_is_named(flags: str, name: str, tmp_path: Path) -> None:
    found = machine(
        tmp_path, f"processor\t: 0\nmodel name\t: Abacus 3\nflags\t\t: {flags}\n\nprocessor\t: 1\n"
    )
    assert (found.cpu, found.instruction_set) == ("Abacus 3", name)


def test_a_processor_without_a_name_is_known_by_its_kind(tmp_path: Path) -> None:
    found = machine(tmp_path, "processor\t: 0\nFeatures\t: fp asimd\n\n")
    assert (found.cpu != "", found.instruction_set) == (True, "NEON")
