"""Built images as an OCI layout on disk, in which unchanged layers are written once."""

import json
import tempfile
from pathlib import Path
from typing import Any

from .buildah import Buildah

Index = dict[str, Any]


REFERENCE = "org.opencontainers.image.ref.name"


def export(buildah: Buildah, reference: str, layout: Path) -> Index:
    """Bring the image into the layout; returns its entry (descriptor) of the layout's index."""
    blobs = blob_folder(layout)
    blobs.mkdir(parents=True, exist_ok=True)
    if any(not (blobs / layer).exists() for layer in layers(buildah, reference)[:-1]):
        add_plain_layers(buildah, reference, blobs)
    buildah("push", "--quiet", reference, f"oci:{layout}:{reference}")
    entries = remove_unnamed(layout)
    return entries[reference]


def layers(buildah: Buildah, reference: str) -> list[str]:
    """The hashes of the image's layers, uncompressed, the topmost last."""
    inspected = buildah("inspect", "--type=image", reference)
    assert inspected
    return [
        str(layer).removeprefix("sha256:") for layer in json.loads(inspected)["OCIv1"]["rootfs"]["diff_ids"]
    ]


def add_plain_layers(buildah: Buildah, reference: str, blobs: Path) -> None:
    """Write the layers uncompressed, named by their hash.

    A push into the layout finds them by that name and compresses only what is new. Without them it compresses
    everything at each push, which takes 19 s for the engine.
    """
    with tempfile.TemporaryDirectory(dir=buildah.folder, prefix="layers-") as folder:
        buildah("push", "--quiet", "--disable-compression", reference, f"dir:{folder}")
        for layer in layers(buildah, reference):
            (Path(folder) / layer).replace(blobs / layer)


def remove_unnamed(layout: Path) -> dict[str, Index]:
    """Keep the entries that have a name, and their blobs. A push takes the name from what had it before."""
    index = read(layout / "index.json")
    entries = {
        name: entry for entry in index["manifests"] if (name := entry.get("annotations", {}).get(REFERENCE))
    }
    written = layout / "index.json.new"
    written.write_text(json.dumps(index | {"manifests": list(entries.values())}))
    written.replace(layout / "index.json")
    kept = {blob(layout, digest) for entry in entries.values() for digest in digests(layout, entry)}
    for file in blob_folder(layout).iterdir():
        if file not in kept:
            file.unlink()
    return entries


def blob_folder(layout: Path) -> Path:
    return layout / "blobs" / "sha256"


def blob(layout: Path, digest: str) -> Path:
    return blob_folder(layout) / digest.removeprefix("sha256:")


def digests(layout: Path, entry: Index) -> list[str]:
    """Every blob of an image: manifest, configuration, layers."""
    manifest = read(blob(layout, entry["digest"]))
    return [entry["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]


def read(path: Path) -> Any:
    return json.loads(path.read_text())
