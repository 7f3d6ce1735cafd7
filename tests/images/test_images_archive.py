"""What is sent to a node that has some of the blobs."""

import json
import tarfile
from pathlib import Path

from images.load import write_archive


def layout_with(folder: Path, blobs: dict[str, str]) -> Path:
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for name, content in blobs.items():
        (folder / "blobs" / "sha256" / name).write_text(content)
    return folder


def test_only_absent_blobs_are_sent_and_the_image_gets_the_name_that_pods_use(tmp_path: Path) -> None:
    manifest = json.dumps(
        {"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:old"}, {"digest": "sha256:new"}]}
    )
    folder = layout_with(tmp_path / "layout", {"m": manifest, "c": "{}", "old": "1", "new": "2"})
    entry = {
        "digest": "sha256:m",
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "x:dev-1"},
    }
    archive = tmp_path / "images.tar"

    write_archive(archive, folder, {"octavo.local/x:dev": entry}, present={"sha256:old", "sha256:c"})

    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["oci-layout", "blobs/sha256/m", "blobs/sha256/new", "index.json"]
        index = json.load(tar.extractfile("index.json"))
    names = {
        "io.containerd.image.name": "octavo.local/x:dev",
        "org.opencontainers.image.ref.name": "octavo.local/x:dev",
    }
    assert index["manifests"] == [entry | {"annotations": names}]
