"""What a model's folder must hold, and what is said where it does not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import make_tiny_model

from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig
from octavo_engine.engine_thread import load_engine
from octavo_engine.errors import (
    AcceleratorFault,
    InvalidEngineConfig,
    InvalidModel,
    ModelNotFound,
    OutOfMemory,
)
from octavo_engine.llm import LLM
from octavo_engine.load import load_core
from octavo_engine.messages import SamplingParams

Tensors = dict[str, torch.Tensor]
GREEDY = SamplingParams(max_tokens=8, temperature=0.0, ignore_eos=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "model", num_layers=1)


def config(folder: Path, **cache: int) -> EngineConfig:
    return EngineConfig(
        model=ModelConfig(path=folder), cache=CacheConfig(**{"memory_bytes": 8 << 20} | cache), device="cpu"
    )


def generate(folder: Path) -> tuple[int, ...]:
    return LLM(config(folder)).generate([[1, 2, 3]], [GREEDY])[0].token_ids


def rewrite(folder: Path, tensors: Tensors) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def tensors(folder: Path) -> Iterator[Tensors]:
    yield {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}


def test_a_sharded_checkpoint_is_the_same_model(folder: Path, tensors: Tensors) -> None:
    whole = generate(folder)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for shard, part in {"a.safetensors": names[::2], "b.safetensors": names[1::2]}.items():
        save_file({name: tensors[name] for name in part}, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, shard)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert generate(folder) == whole
    (folder / "b.safetensors").unlink()
    with pytest.raises(InvalidModel, match=r"lacks b.safetensors, which model.safetensors.index.json names"):
        generate(folder)
    index.write_text("[]")
    with pytest.raises(InvalidModel, match="is not an index of safetensors files"):
        generate(folder)


def test_a_missing_tensor_is_named(folder: Path, tensors: Tensors) -> None:
    del tensors["model.layers.0.mlp.up_proj.weight"]
    rewrite(folder, tensors)
    with pytest.raises(InvalidModel, match=r"has no tensor model.layers.0.mlp.up_proj.weight"):
        generate(folder)


def test_a_wrong_shape_is_named(folder: Path, tensors: Tensors) -> None:
    tensors["model.norm.weight"] = torch.ones(63)
    rewrite(folder, tensors)
    with pytest.raises(
        InvalidModel, match=r"model.norm.weight has shape \[63\], but config.json wants \[64\]"
    ):
        generate(folder)


def test_a_quantized_tensor_is_refused(folder: Path, tensors: Tensors) -> None:
    tensors["model.norm.weight"] = torch.ones(64, dtype=torch.int8)
    rewrite(folder, tensors)
    with pytest.raises(InvalidModel, match="quantized weights are not supported"):
        generate(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidModel, match="is not a readable safetensors file"):
        generate(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidModel, match="only safetensors are read"):
        generate(folder)


def test_no_folder_at_all_is_another_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="is not a folder"):
        load_core(config(tmp_path / "nowhere"))


def test_the_server_s_way_in_loads_and_stops(folder: Path) -> None:
    engine = load_engine(config(folder))
    try:
        assert (engine.info.max_model_len, engine.info.dtype, engine.info.device) == (1024, "float32", "cpu")
        assert engine.info.eos_token_ids == (2,)
    finally:
        engine.shutdown()


def test_a_cache_below_one_context_lowers_the_context_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    block_bytes = 16 * 2 * 1 * 2 * 16 * 4
    core = load_core(config(folder, memory_bytes=10 * block_bytes))
    assert (core.info.num_blocks, core.info.max_model_len) == (10, 160)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "max_model_len lowered from 1024 to 160: the KV cache of 10 blocks holds no longer context"
    ]


def test_more_cache_than_memory_is_refused_with_numbers(folder: Path) -> None:
    with pytest.raises(OutOfMemory, match="--kv-cache-memory asks for 1048576 MiB"):
        load_core(config(folder, memory_bytes=1 << 40))


def test_a_model_larger_than_memory_is_refused_before_it_is_read(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(fields | {"hidden_size": 64_000, "num_hidden_layers": 500})
    )
    with pytest.raises(OutOfMemory, match=r"the weights take .* MiB and the cpu offers"):
        load_core(config(folder))


def test_a_longer_context_than_the_model_s_is_refused(folder: Path) -> None:
    asked = replace(config(folder), model=ModelConfig(path=folder, max_model_len=2048))
    with pytest.raises(InvalidEngineConfig, match="--max-model-len 2048: the model was made for 1024"):
        load_core(asked)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused(folder: Path) -> None:
    with pytest.raises(AcceleratorFault, match="sees no CUDA device"):
        load_core(replace(config(folder), device="cuda"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_generates(folder: Path, dtype: str) -> None:
    asked = replace(config(folder), model=ModelConfig(path=folder, dtype=dtype))  # type: ignore[arg-type]
    llm = LLM(asked)
    assert llm.core.info.dtype == dtype
    assert len(llm.generate([[1, 2, 3]], [GREEDY])[0].token_ids) == 8


def test_a_seed_gives_the_same_tokens_alone_and_in_a_batch_and_no_seed_gives_others(folder: Path) -> None:
    llm = LLM(config(folder))
    seeded = SamplingParams(max_tokens=16, temperature=1.0, top_p=0.95, seed=11, ignore_eos=True)
    free = SamplingParams(max_tokens=16, temperature=1.0, ignore_eos=True)
    (alone,) = llm.generate([[5, 6]], [seeded])
    among = llm.generate([[9], [5, 6], [5, 6], [5, 6]], [free, seeded, free, free])
    assert among[1].token_ids == alone.token_ids
    assert len({answer.token_ids for answer in among[1:]}) == 3
