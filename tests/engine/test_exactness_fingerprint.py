"""Engines have one exactness where their tokens are the same, and another where they may not be."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_model import make_tiny_model

from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.exactness import exactness
from octavo_engine.load import load_core
from octavo_engine.models.model_facts import ModelFacts, read_model_facts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("exact"), num_layers=1)


@pytest.fixture
def facts(folder: Path) -> ModelFacts:
    return read_model_facts(ModelConfig(path=folder))


def native(name: str) -> Any:
    return SimpleNamespace(instruction_set=SimpleNamespace(name=name))


def test_avx2_and_avx512_are_one_and_bf16_products_another(folder: Path, facts: ModelFacts) -> None:
    names = ("avx2", "avx512", "avx512bf16")
    in_bf16 = replace(facts, dtype="bfloat16")
    fp32 = [exactness(folder, facts, 512, 16, native(name)) for name in names]
    bf16 = [exactness(folder, in_bf16, 512, 16, native(name)) for name in names]
    assert (len(set(fp32)), len(set(bf16)), bf16[0] == bf16[1]) == (1, 2, True)
    assert not set(fp32) & set(bf16)


def test_what_decides_tokens_is_in_it(folder: Path, facts: ModelFacts, tmp_path: Path) -> None:
    avx2 = native("avx2")
    other = make_tiny_model(tmp_path / "other", num_layers=1, seed=1)
    different = {
        exactness(folder, facts, 512, 16, avx2),
        exactness(other, facts, 512, 16, avx2),
        exactness(folder, replace(facts, eos_token_ids=(7,)), 512, 16, avx2),
        exactness(folder, facts, 511, 16, avx2),
        exactness(folder, facts, 512, 32, avx2),
    }
    assert len(different) == 5


def test_without_our_kernels_there_is_none(folder: Path, facts: ModelFacts) -> None:
    assert exactness(folder, facts, 512, 16, None) == ""


def test_a_loaded_engine_tells_its_own_whatever_its_batches_are(folder: Path) -> None:
    loaded = {
        load_core(
            EngineConfig(
                model=ModelConfig(path=folder, max_model_len=512),
                cache=CacheConfig(memory_bytes=8 << 20),
                scheduler=SchedulerConfig(max_num_seqs=num_seqs),
                device="cpu",
            )
        ).info.exactness
        for num_seqs in (8, 64)
    }
    (found,) = loaded
    assert len(found) == 32
