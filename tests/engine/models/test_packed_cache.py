"""The packed weights beside the model: used when they fit, made anew when not, never in the way."""

from pathlib import Path

import pytest
import torch
from native_kernels import needs_one
from tiny_model import make_tiny_model

from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig
from octavo_engine.llm import LLM
from octavo_engine.messages import SamplingParams
from octavo_engine.models.packed_cache import FILE_NAME, PackedCache

pytestmark = needs_one
GREEDY = SamplingParams(max_tokens=8, temperature=0.0, ignore_eos=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "model", num_layers=1)


def said(folder: Path, *, packed_cache: bool = True, dtype: str = "float32") -> tuple[int, ...]:
    config = EngineConfig(
        model=ModelConfig(path=folder, packed_cache=packed_cache, dtype=dtype),  # type: ignore[arg-type]
        cache=CacheConfig(memory_bytes=8 << 20),
        device="cpu",
    )
    return LLM(config).generate([[1, 2, 3]], [GREEDY])[0].token_ids


def test_a_second_start_says_the_same_from_the_file_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = said(folder)
    assert (folder / FILE_NAME).exists()

    def no_packing(*arguments: object) -> None:
        raise AssertionError("packed again")

    monkeypatch.setattr("octavo_engine.models.linear_loader.pack_linear", no_packing)
    assert said(folder) == first


def test_another_checkpoint_in_the_same_folder_is_packed_anew(folder: Path, tmp_path: Path) -> None:
    first = said(folder)
    other = make_tiny_model(tmp_path / "other", num_layers=1, seed=1)
    (other / "model.safetensors").replace(folder / "model.safetensors")
    second = said(folder)
    assert second != first
    assert second == said(folder, packed_cache=False)


def test_another_dtype_is_packed_anew(folder: Path) -> None:
    said(folder, dtype="bfloat16")
    assert said(folder) == said(folder, packed_cache=False)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_file_is_replaced(folder: Path, content: bytes) -> None:
    expected = said(folder, packed_cache=False)
    (folder / FILE_NAME).write_bytes(content)
    assert said(folder) == expected
    assert (folder / FILE_NAME).stat().st_size > 1000


def test_a_truncated_file_is_replaced(folder: Path) -> None:
    expected = said(folder)
    path = folder / FILE_NAME
    path.write_bytes(path.read_bytes()[:-500])
    assert said(folder) == expected


def test_a_folder_that_cannot_be_written_serves_without_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    assert len(said(folder)) == 8
    assert not (folder / FILE_NAME).exists()


def test_it_can_be_turned_off(folder: Path) -> None:
    said(folder, packed_cache=False)
    assert not (folder / FILE_NAME).exists()


def test_a_save_that_fails_leaves_the_old_file_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(folder)
    old = (folder / FILE_NAME).read_bytes()
    cache = PackedCache(folder, torch.bfloat16)
    cache.add(["a"], torch.ones(4))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    before = sorted(folder.iterdir())
    cache.save()
    assert sorted(folder.iterdir()) == before
    assert (folder / FILE_NAME).read_bytes() == old
