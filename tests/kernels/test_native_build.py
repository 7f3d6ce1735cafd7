"""Which library is chosen, when one is compiled, and what happens where none can be."""

import logging
from pathlib import Path

import pytest
from native_kernels import SUPPORTED, library, needs_one

from octavo_kernels.native import build as build_module
from octavo_kernels.native.build import BuildError, build, library_name
from octavo_kernels.native.instruction_set import INSTRUCTION_SETS, supported_instruction_sets
from octavo_kernels.native.library import default_cache, load_native

GENOA = "fpu avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512_bf16"


def names(cpuinfo: Path, flags: str) -> list[str]:
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 1\n")
    return [candidate.name for candidate in supported_instruction_sets(cpuinfo)]


def fake_compiler(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "g++").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_best_instruction_set_comes_first(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert names(cpuinfo, GENOA) == ["avx512bf16", "avx512", "avx2"]
    assert names(cpuinfo, GENOA.removesuffix(" avx512_bf16")) == ["avx512", "avx2"]
    assert names(cpuinfo, "fpu avx2 fma f16c bmi2") == ["avx2"]
    assert names(cpuinfo, "fpu avx2 f16c bmi2") == []
    assert supported_instruction_sets(tmp_path / "missing") == ()


def test_a_library_s_name_tells_its_sources_and_instruction_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.h"
    source.write_text("1")
    monkeypatch.setattr(build_module, "PACKAGE", tmp_path)
    before = [library_name(candidate) for candidate in INSTRUCTION_SETS]
    assert len(set(before)) == len(INSTRUCTION_SETS)
    source.write_text("2")
    assert not {library_name(candidate) for candidate in INSTRUCTION_SETS} & set(before)


@needs_one
def test_the_first_use_compiles_and_the_next_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    best = next(iter(SUPPORTED.values()))
    for _ in range(2):
        native = load_native(1, cache=tmp_path)
        assert native is not None and native.instruction_set == best
    assert [path.name for path in tmp_path.iterdir()] == [library_name(best)]
    assert [record.getMessage() for record in caplog.records] == [
        f"compiling the CPU kernels for {best.name} into {tmp_path}, once"
    ]


@needs_one
def test_without_a_compiler_pytorch_runs_and_the_log_says_so_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load_native(1, cache=tmp_path / "cache") is None
    assert "PyTorch's run instead, slower: there is no C++ compiler" in caplog.text
    assert "apt-get install g++" in caplog.text


def test_a_processor_without_our_instructions_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_native(1, instruction_set="sve2", cache=tmp_path) is None
    assert "no compiled CPU kernels for this processor" in caplog.text


def test_a_compiler_that_refuses_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_compiler(tmp_path, "echo 'syntax error' >&2; exit 1", monkeypatch)
    cache = tmp_path / "cache"
    with pytest.raises(BuildError, match="syntax error"):
        build(INSTRUCTION_SETS[-1], cache)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_an_error_with_the_path(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BuildError, match=f"cannot write {blocked}"):
        build(INSTRUCTION_SETS[-1], blocked / "cache")


@needs_one
@pytest.mark.parametrize("num_bytes", [0, 10, 60_000, -1])
def test_a_damaged_library_is_compiled_again(
    num_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, best = next(iter(SUPPORTED.items()))
    library(name)
    compiled = default_cache() / library_name(best)
    fake_compiler(tmp_path, f'while [ "$1" != -o ]; do shift; done; cp {compiled} "$2"', monkeypatch)
    damaged = build(best, tmp_path / "cache")
    damaged.write_bytes(damaged.read_bytes()[:num_bytes])
    native = load_native(1, cache=tmp_path / "cache")
    assert native is not None and native.instruction_set == best


@needs_one
def test_a_damaged_library_without_a_compiler_is_replaced_by_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / library_name(next(iter(SUPPORTED.values())))).write_bytes(b"not a library")
    assert load_native(1, cache=tmp_path) is None
    assert "PyTorch's run instead, slower: there is no C++ compiler" in caplog.text
