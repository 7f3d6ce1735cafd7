"""`size`: what an image weighs unpacked, and as a registry would hold it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from cluster.paths import this_checkout

from . import layout
from .build import built, store
from .catalogue import Image


def show(images: Sequence[Image]) -> None:
    checkout = this_checkout()
    with store() as buildah:
        folder = buildah.folder / "layout"
        for image in images:
            entry = layout.export(buildah, built(checkout, image), folder)
            blobs = [layout.blob(folder, digest) for digest in layout.digests(folder, entry)]
            plain = sum(blob.stat().st_size for blob in blobs)
            packed = sum(map(compressed_bytes, blobs))
            print(f"{image.reference}: {plain / 1e6:.0f} MB, {packed / 1e6:.0f} MB compressed")


def compressed_bytes(blob: Path) -> int:
    with subprocess.Popen(["gzip", "--stdout", str(blob)], stdout=subprocess.PIPE) as gzip:
        counted = subprocess.run(["wc", "--bytes"], stdin=gzip.stdout, capture_output=True, check=True)
    return int(counted.stdout)
