"""Built images as an OCI layout on disk, in which unchanged layers are written once."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .buildah import Buildah

Index = dict[str, Any]


def export(buildah: Buildah, reference: str, layout: Path) -> Index:
    """Bring the image into the layout; returns its entry (descriptor) of the layout's index."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    if any(not (blobs / layer).exists() for layer in layers(buildah, reference)[:-1]):
        add_plain_layers(buildah, reference, blobs)
    buildah("push", "--quiet", reference, f"oci:{layout}:{reference}")
    entries = read(layout / "index.json")["manifests"]
    remove_unnamed(blobs, entries)
    return next(entry for entry in entries if entry["annotations"][REFERENCE] == reference)


REFERENCE = "org.opencontainers.image.ref.name"


def layers(buildah: Buildah, reference: str) -> list[str]:
    """The hashes of the image's layers, uncompressed, the topmost last."""
    inspected = buildah("inspect", "--type=image", reference)
    assert inspected
    return [
        str(layer).removeprefix("sha256:") for layer in json.loads(inspected)["OCIv1"]["rootfs"]["diff_ids"]
    ]


def add_plain_layers(buildah: Buildah, reference: str, blobs: Path) -> None:
    """Write the layers uncompressed. A push into the layout then finds them by hash and compresses only new ones:
    compressing everything takes 19 s for the engine, and again at each push."""
    with tempfile.TemporaryDirectory(dir=buildah.folder, prefix="layers-") as folder:
        buildah("push", "--quiet", "--disable-compression", reference, f"dir:{folder}")
        for layer in layers(buildah, reference):
            os.replace(Path(folder) / layer, blobs / layer)


def remove_unnamed(blobs: Path, entries: Iterable[Index]) -> None:
    named = {digest for entry in entries for digest in digests(blobs, entry)}
    for blob in blobs.iterdir():
        if f"sha256:{blob.name}" not in named:
            blob.unlink()


def digests(blobs: Path, entry: Index) -> list[str]:
    """Every blob of an image: manifest, configuration, layers."""
    manifest = read(blobs / entry["digest"].removeprefix("sha256:"))
    return [entry["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]


def read(path: Path) -> Any:
    return json.loads(path.read_text())
