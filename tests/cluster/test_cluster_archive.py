import json
import tarfile
from pathlib import Path

import pytest

from cluster.archive import digest_of, images_in, write_single_file_image
from cluster.errors import ClusterError


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "hello"
    path.write_bytes(b"\x7fELF hello")
    return path


def test_an_archive_names_its_image_and_every_blob_is_what_its_digest_says(
    binary: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "hello.tar"
    write_single_file_image(archive, "octavo.local/hello:1", binary)
    with tarfile.open(archive) as tar:
        blobs = {m.name: tar.extractfile(m).read() for m in tar if m.name.startswith("blobs/")}  # type: ignore[union-attr]
    assert all(name == f"blobs/sha256/{digest_of(blob)[7:]}" for name, blob in blobs.items())
    (name, digest), *others = images_in(archive).items()
    manifest = json.loads(blobs[f"blobs/sha256/{digest[7:]}"])
    assert (name, others) == ("octavo.local/hello:1", [])
    assert {part["digest"] for part in [manifest["config"], *manifest["layers"]]} | {digest} == {
        digest_of(blob) for blob in blobs.values()
    }


def test_the_same_binary_always_gives_the_same_archive(binary: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    write_single_file_image(first, "octavo.local/hello:1", binary)
    binary.touch()
    write_single_file_image(second, "octavo.local/hello:1", binary)
    assert first.read_bytes() == second.read_bytes()


def test_a_docker_archive_has_no_digests_to_compare(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[]")
    with tarfile.open(tmp_path / "docker.tar", "w") as tar:
        tar.add(tmp_path / "manifest.json", "manifest.json")
    assert images_in(tmp_path / "docker.tar") == {}


def test_a_file_that_is_no_archive_is_named_in_the_error(binary: Path) -> None:
    with pytest.raises(ClusterError, match="hello is no image archive"):
        images_in(binary)
