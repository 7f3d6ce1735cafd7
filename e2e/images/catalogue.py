"""Which images there are, what each is made of, and the hash that says whether it must be built again."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = "octavo.local"
UNUSED = {"__pycache__", "Dockerfile"}
UNUSED_ENDINGS = {".pyc", ".so"}
"""As in .dockerignore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    name: str
    dockerfile: str
    sources: tuple[str, ...]
    """Files and folders of the checkout that its Dockerfile copies."""
    has_torch: bool = False
    stands_on: "Image | None" = None
    """Another of these images; its Dockerfile gets it as the build argument of that name, in capitals."""

    @property
    def repository(self) -> str:
        return f"{REPOSITORY}/{self.name}"

    @property
    def reference(self) -> str:
        """The name that pods on the local cluster use."""
        return f"{self.repository}:dev"


ENGINE = Image(
    name="engine",
    dockerfile="engine/Dockerfile",
    sources=("pyproject.toml", "constraints.txt", "engine", "kernels"),
    has_torch=True,
)
OPERATOR = Image(
    name="operator",
    dockerfile="operator/Dockerfile",
    sources=("pyproject.toml", "constraints.txt", "operator"),
)
CLIENT = Image(name="client", dockerfile="e2e/client/Dockerfile", sources=("constraints.txt", "e2e/client"))
IMAGES = (ENGINE, OPERATOR, CLIENT)
MISBEHAVING = Image(
    name="misbehaving",
    dockerfile="e2e/misbehaving/Dockerfile",
    sources=("e2e/misbehaving",),
    stands_on=ENGINE,
)
"""Not among IMAGES: a few stories alone need it."""


def inputs_hash(root: Path, image: Image, arguments: Mapping[str, str], base: str) -> str:
    """Equal for equal results: covers all files that go in, the build arguments and the base image's id."""
    digest = hashlib.sha256(repr((base, sorted(arguments.items()))).encode())
    for path in [root / ".dockerignore", root / image.dockerfile, *source_files(root, image)]:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {path.stat().st_mode:o} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def source_files(root: Path, image: Image) -> Iterator[Path]:
    for source in map(root.joinpath, image.sources):
        found = sorted(source.rglob("*")) if source.is_dir() else [source]
        yield from (path for path in found if path.is_file() and not is_unused(path.relative_to(root)))


def is_unused(path: Path) -> bool:
    return bool(UNUSED & set(path.parts)) or path.suffix in UNUSED_ENDINGS
