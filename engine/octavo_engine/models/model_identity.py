"""Tells whether two folders hold the same model without reading all of its weights."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from octavo_engine.models.safetensors_headers import weight_files

MAX_SAMPLES = 1024
"""Pages that are read of a file: other weights differ almost everywhere, so few pages tell."""
MIN_STRIDE = 64 * 1024
PAGE_BYTES = 4096


def model_identity(folder: Path) -> str:
    """Of contents alone: configuration, tokenizer and templates whole, weights by samples."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.jinja")]):
        _add(digest, path.name.encode(), path.read_bytes())
    for name in weight_files(folder):
        for page in _sampled(folder / name):
            _add(digest, name.encode(), page)
    return digest.hexdigest()


def _sampled(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    yield size.to_bytes(8, "little")
    with path.open("rb", buffering=0) as file:
        for offset in range(0, size, max(MIN_STRIDE, size // MAX_SAMPLES)):
            file.seek(offset)
            yield file.read(PAGE_BYTES)
        file.seek(max(0, size - PAGE_BYTES))
        yield file.read(PAGE_BYTES)


def _add(digest: "hashlib._Hash", *parts: bytes) -> None:
    """With lengths, so that no two lists of parts look alike."""
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
