"""What `octavo check` foretells, beside what loading then does."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_server import HubSettings, running_hub
from safetensors.torch import load_file, save_file
from tiny_model import make_tiny_model

from octavo_engine.check.place import Unknown
from octavo_engine.check.report import Problem, Report
from octavo_engine.check.verdict import check_model
from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.errors import AcceleratorFault, InvalidModel, OutOfMemory
from octavo_engine.load import load_core
from octavo_engine.machine import Machine
from octavo_engine.sources import HubAccess
from octavo_engine.worker.device_memory import DeviceMemory, promised_memory, read_memory

MACHINE = Machine(cpu="Abacus", num_cpus=2, instruction_set="AVX2")
MIB = 1 << 20
ROOMY = DeviceMemory(device="cpu", device_name="CPU", limit=None, available=64 << 30, held=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "models/org/tiny", num_layers=1)


def config(folder: Path, **cache: int) -> EngineConfig:
    return EngineConfig(model=ModelConfig(path=folder), cache=CacheConfig(**cache), device="cpu")


def check(
    source: Path | str,
    asked: EngineConfig | None = None,
    memory: Callable[[], DeviceMemory | Unknown] = lambda: ROOMY,
    hub: HubAccess | None = None,
) -> Report:
    asked = asked or config(Path(source))
    return check_model(str(source), asked, hub=hub or HubAccess(), machine=MACHINE, read_memory=memory)


def sizes(report: Report) -> tuple[int, int]:
    assert report.capacity is not None, report.problems
    return report.capacity.num_blocks, report.capacity.max_model_len


def loaded_sizes(asked: EngineConfig, memory: DeviceMemory | None = None) -> tuple[int, int]:
    info = load_core(asked, (lambda device: memory) if memory is not None else read_memory).info
    return info.num_blocks, info.max_model_len


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(EngineConfig(model=ModelConfig(path=Path())), id="defaults"),
        pytest.param(EngineConfig(model=ModelConfig(path=Path(), dtype="bfloat16")), id="another dtype"),
        pytest.param(EngineConfig(model=ModelConfig(path=Path(), max_model_len=100)), id="a shorter context"),
        pytest.param(
            EngineConfig(
                model=ModelConfig(path=Path()), cache=CacheConfig(memory_bytes=50_000, block_size=16)
            ),
            id="a cache below one context",
        ),
        pytest.param(
            EngineConfig(model=ModelConfig(path=Path()), scheduler=SchedulerConfig(max_num_seqs=3)),
            id="few requests at once",
        ),
    ],
)
def test_blocks_and_context_are_those_that_loading_gives_on_this_machine(
    asked: EngineConfig, folder: Path
) -> None:
    asked = replace(asked, model=replace(asked.model, path=folder), device="cpu")
    assert sizes(check(folder, asked, lambda: read_memory("cpu"))) == loaded_sizes(asked)


def container(limit_mib: int) -> DeviceMemory:
    return DeviceMemory(
        device="cpu", device_name="CPU", limit=limit_mib * MIB, available=1 << 40, held=10 * MIB
    )


@pytest.mark.parametrize("limit_mib", [266, 267])
def test_blocks_and_context_are_those_that_loading_gives_within_a_container_s_limit(
    folder: Path, limit_mib: int
) -> None:
    asked = replace(config(folder, memory_percent=97), scheduler=SchedulerConfig(max_num_seqs=8))
    report = check(folder, asked, lambda: container(limit_mib))
    assert sizes(report) == loaded_sizes(asked, container(limit_mib))
    assert sizes(report)[0] < 8 * 1024 // 16  # the limit counts, or this would show nothing


def test_a_container_that_is_too_small_is_told_as_loading_would_tell_it(folder: Path) -> None:
    report = check(folder, memory=lambda: container(100))
    with pytest.raises(OutOfMemory) as caught:
        load_core(config(folder), lambda device: container(100))
    assert [(problem.message, problem.exit_code) for problem in report.errors] == [(str(caught.value), 66)]


def test_a_promised_limit_gives_the_blocks_that_loading_gives_in_such_a_container(folder: Path) -> None:
    asked = replace(config(folder, memory_percent=97), scheduler=SchedulerConfig(max_num_seqs=8))
    report = check(folder, asked, lambda: promised_memory("cpu", 267 * MIB))
    assert sizes(report) == loaded_sizes(asked, container(267))


def test_a_promised_limit_that_is_too_small_is_told_as_loading_would_tell_it(folder: Path) -> None:
    report = check(folder, memory=lambda: promised_memory("cpu", 100 * MIB))
    with pytest.raises(OutOfMemory) as caught:
        load_core(config(folder), lambda device: container(100))
    assert [(problem.message, problem.exit_code) for problem in report.errors] == [(str(caught.value), 66)]


def test_memory_that_is_not_known_is_said_to_be_unchecked_and_the_rest_is_checked(folder: Path) -> None:
    report = check(folder, memory=lambda: Unknown("the GPU"))
    assert (report.exit_code, report.problems, report.capacity) == (0, (), None)
    assert report.verdict == "can be read, and the flags are right; not checked: the GPU"
    assert report.to_json()["fits"] is None
    (folder / "tokenizer.json").unlink()
    report = check(folder, memory=lambda: Unknown("the GPU"))
    assert (report.exit_code, report.to_json()["fits"]) == (65, False)


def test_a_model_that_fits_is_described_without_pytorch_s_help(folder: Path) -> None:
    report = check(folder)
    assert (report.exit_code, report.problems) == (0, ())
    assert report.verdict == "fits: 1024 tokens of context, and 256 requests of that length at once"
    assert report.model is not None
    tensors = load_file(folder / "model.safetensors").values()
    assert report.model.num_parameters == sum(tensor.numel() for tensor in tensors)
    assert report.model.checkpoint_bytes == sum(tensor.nbytes for tensor in tensors)
    assert (report.model.num_heads, report.model.num_kv_heads, report.model.head_dim) == (4, 2, 16)
    assert report.model.has_chat_template and report.model.weights_here


def test_the_rotary_tables_of_a_long_context_leave_less_for_the_cache(folder: Path) -> None:
    change_config(folder, max_position_embeddings=1 << 20)
    block_bytes = 16 * 2 * 1 * 2 * 16 * 4

    def found(max_model_len: int) -> tuple[int, int]:
        asked = config(folder, memory_percent=97)
        asked = replace(asked, model=replace(asked.model, max_model_len=max_model_len))
        report = check(folder, asked, lambda: container(600))
        assert report.memory is not None and report.capacity is not None
        return report.memory.rope, report.capacity.num_blocks * block_bytes

    (short_tables, short_cache), (long_tables, long_cache) = found(1 << 16), found(1 << 20)
    table_bytes = 2 * 16 * 4  # a position's cosines and sines, of 16 dimensions each, in float32
    assert (short_tables, long_tables) == (table_bytes << 16, table_bytes << 20)
    assert short_cache - long_cache == pytest.approx(long_tables - short_tables, abs=block_bytes)


def test_requests_of_1024_tokens_are_counted_in_whole_blocks(folder: Path) -> None:
    block_bytes = 16 * 2 * 1 * 2 * 16 * 4
    capacity = check(folder, config(folder, memory_bytes=150 * block_bytes)).capacity
    assert capacity is not None
    assert (capacity.num_blocks, capacity.num_1k_requests, capacity.num_full_requests) == (150, 2, 2)


def test_a_lowered_context_is_a_warning_and_still_fits(folder: Path) -> None:
    block_bytes = 16 * 2 * 1 * 2 * 16 * 4
    report = check(folder, config(folder, memory_bytes=10 * block_bytes))
    assert report.exit_code == 0
    assert [problem.message for problem in report.problems] == [
        "the context is lowered from 1024 to 160 tokens, for which the KV cache has room: "
        "give the engine more memory for all of it"
    ]


def test_an_architecture_that_we_do_not_know_is_told_with_those_that_we_do(folder: Path) -> None:
    change_config(folder, architectures=["MambaForCausalLM"])
    report = check(folder)
    assert report.exit_code == 65
    assert "MambaForCausalLM is not supported; supported are LlamaForCausalLM" in report.verdict


def change_config(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_loading_says_of_the_tensors_is_said_without_reading_them(folder: Path) -> None:
    change_config(folder, num_hidden_layers=2, intermediate_size=129)
    report = check(folder)
    assert report.exit_code == 65
    with pytest.raises(InvalidModel, match=r"mlp.gate_proj.weight has shape \[128, 64\]"):
        load_core(config(folder))
    assert "the checkpoint has no tensor model.layers.1." in report.verdict
    assert "and 6 more; it does not belong to its config.json" in report.verdict
    change_config(folder, num_hidden_layers=1)
    assert (
        "mlp.gate_proj.weight has shape [128, 64], but config.json wants [129, 64]" in check(folder).verdict
    )


def test_quantized_weights_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(64, dtype=torch.int8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert (
        "tensor model.norm.weight is stored as I8; quantized weights are not supported"
        in check(folder).verdict
    )


def test_every_problem_that_hides_no_other_is_told_in_one_run(folder: Path) -> None:
    weights = folder / "model.safetensors"
    (folder / "tokenizer.json").unlink()
    (folder / "chat_template.jinja").write_text("{% if %}")
    change_config(folder, num_attention_heads=3)
    found = [problem.message for problem in check(folder).problems]
    assert [message.partition(";")[0].rpartition("/")[2] for message in found] == [
        "tiny has no tokenizer.json",
        "the model's chat template is not valid Jinja (line 1: Expected an expression, got 'end of "
        "statement block')",
        "config.json: 3 heads cannot share 2 key-value heads evenly",
    ]
    weights.write_bytes(weights.read_bytes()[:-10])
    assert "is not a readable safetensors file: it ends 10 bytes too early" in check(folder).verdict
    weights.unlink()
    assert "has neither model.safetensors nor" in check(folder).verdict


def test_a_base_model_without_a_chat_template_is_warned_of(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    report = check(folder)
    assert (report.exit_code, [problem.severity for problem in report.problems]) == (0, ["warning"])
    assert "add a chat_template.jinja" in report.problems[0].message


def test_a_device_that_is_not_there_is_a_problem_beside_the_model_s_own(folder: Path) -> None:
    def no_device() -> DeviceMemory:
        raise AcceleratorFault("no device")

    report = check(folder, memory=no_device)
    assert report.problems == (Problem(severity="error", message="no device", exit_code=69),)
    assert report.model is not None
    assert report.memory is None


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    return cache


def test_of_a_hub_s_model_the_weights_are_not_downloaded(folder: Path, hub_cache: Path) -> None:
    source = "hf://org/tiny"
    with running_hub(HubSettings(folder.parent.parent)) as hub:
        report = check(source, config(folder), hub=HubAccess(endpoint=hub.url))
        asked = [request for request in hub.requests if "model.safetensors" in request]
    local = check(folder)
    assert report.model is not None
    assert local.model is not None
    assert report.model == replace(local.model, weights_here=False)
    assert report.capacity == local.capacity
    assert not list(hub_cache.rglob("*.safetensors"))
    assert len(asked) == 1


def test_a_repository_without_safetensors_is_told_so(folder: Path, hub_cache: Path) -> None:
    (folder / "model.safetensors").unlink()
    with running_hub(HubSettings(folder.parent.parent)) as hub:
        report = check("hf://org/tiny", config(folder), hub=HubAccess(endpoint=hub.url))
    assert (report.exit_code, report.verdict) == (
        65,
        "cannot be served: hf://org/tiny has no model.safetensors; only safetensors are read",
    )
