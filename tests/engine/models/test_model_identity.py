from pathlib import Path

import pytest
from tiny_model import make_tiny_model

from octavo_engine.models.model_identity import MIN_STRIDE, model_identity


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("one"), num_layers=1)


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_a_copy_is_the_same_model_whatever_lies_beside_it(folder: Path, tmp_path: Path) -> None:
    copied = copy(folder, tmp_path / "copy")
    (copied / ".octavo-packed.safetensors").write_bytes(b"packed")
    (copied / "README.md").write_text("words")
    assert model_identity(copied) == model_identity(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_other_settings_are_another_model(folder: Path, tmp_path: Path, name: str) -> None:
    copied = copy(folder, tmp_path / "copy")
    (copied / name).write_text((copied / name).read_text() + " ")
    assert model_identity(copied) != model_identity(folder)


def test_other_weights_of_the_same_shapes_are_another_model(folder: Path, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "other", num_layers=1, seed=1)
    (other / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = [path / "model.safetensors" for path in (folder, other)]
    assert len({path.stat().st_size for path in weights}) == 1
    assert model_identity(other) != model_identity(folder)


def test_a_change_in_one_place_of_each_stride_is_seen(folder: Path, tmp_path: Path) -> None:
    copied = copy(folder, tmp_path / "copy")
    weights = bytearray((copied / "model.safetensors").read_bytes())
    assert len(weights) > MIN_STRIDE + 100
    weights[MIN_STRIDE + 100] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    assert model_identity(copied) != model_identity(folder)
