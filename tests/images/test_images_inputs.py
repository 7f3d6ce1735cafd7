"""When an image is built again."""

from pathlib import Path

import pytest

from images.catalogue import Image, inputs_hash

IMAGE = Image(name="thing", dockerfile="Dockerfile", sources=("code", "pins.txt"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "code" / "deep").mkdir(parents=True)
    for name in (".dockerignore", "Dockerfile", "pins.txt", "code/a.py", "code/deep/b.py"):
        (tmp_path / name).write_text(name)
    return tmp_path


def hashed(root: Path) -> str:
    return inputs_hash(root, IMAGE, {"TORCH": "torch==1"}, "base")


@pytest.mark.parametrize(
    "name", [".dockerignore", "Dockerfile", "pins.txt", "code/a.py", "code/deep/b.py", "code/new.py"]
)
def test_any_file_that_goes_in_changes_the_hash(root: Path, name: str) -> None:
    before = hashed(root)
    (root / name).write_text(name[::-1])  # as long as before
    assert hashed(root) != before


def test_a_renamed_file_changes_the_hash(root: Path) -> None:
    before = hashed(root)
    (root / "code" / "a.py").rename(root / "code" / "c.py")
    assert hashed(root) != before


@pytest.mark.parametrize(
    "name", ["README.md", "code/__pycache__/a.cpython-311.pyc", "code/kernel.so", "code/Dockerfile"]
)
def test_what_no_image_holds_leaves_the_hash_alone(root: Path, name: str) -> None:
    before = hashed(root)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("anything")
    assert hashed(root) == before


def test_build_arguments_and_the_base_change_the_hash(root: Path) -> None:
    assert (
        len(
            {
                hashed(root),
                inputs_hash(root, IMAGE, {}, "base"),
                inputs_hash(root, IMAGE, {"TORCH": "torch==1"}, "new"),
            }
        )
        == 3
    )
