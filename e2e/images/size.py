"""`size`: what an image weighs on disk, and as a registry would hold it."""

import subprocess
from collections.abc import Sequence

from cluster.paths import this_checkout

from . import layout
from .build import built, store
from .catalogue import IMAGES, Image


def show(images: Sequence[Image] = IMAGES) -> None:
    checkout = this_checkout()
    with store() as buildah:
        folder = buildah.folder / "layout"
        for image in images:
            entry = layout.export(buildah, built(checkout, image), folder)
            blobs = [
                folder / "blobs" / "sha256" / d.removeprefix("sha256:")
                for d in layout.digests(folder / "blobs" / "sha256", entry)
            ]
            plain = sum(blob.stat().st_size for blob in blobs)
            packed = sum(compressed(str(blob)) for blob in blobs)
            print(f"{image.reference}: {plain / 1e6:.0f} MB, {packed / 1e6:.0f} MB compressed")


def compressed(path: str) -> int:
    with subprocess.Popen(["gzip", "--stdout", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        return sum(len(chunk) for chunk in iter(lambda: process.stdout.read(1 << 20), b""))
