"""`build`: make each image whose inputs changed since it was last made, by whichever checkout."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.paths import Checkout, cache_folder, this_checkout

from . import base, pip_settings, torch_wheel
from .buildah import Buildah, require
from .catalogue import IMAGES, Image, inputs_hash
from .errors import ImagesError
from .progress import say, step

KEPT = 6
"""Builds of an image that the store remembers: going back to one of them costs nothing."""
MAX_STAGES = 150
"""Nameless images of build stages; beyond these all go, and the next build takes some seconds more."""


def build(images: Sequence[Image] = IMAGES) -> None:
    """Build what is not built yet; what one of them stands on comes before it.

    Afterwards `built(checkout, image)` names each image in the store.
    """
    checkout = this_checkout()
    with store() as buildah:
        base_id = base.ensure(buildah)
        for number, image in enumerate(images, 1):
            build_one(buildah, checkout, image, base_id, f"[{number}/{len(images)}] {image.name}")


def build_one(buildah: Buildah, checkout: Checkout, image: Image, base_id: str, title: str) -> None:
    wheels = torch_wheel.wheel_folder(checkout.root) if image.has_torch else None
    torch = torch_wheel.requirement(wheel.name for wheel in wheels.iterdir()) if wheels else None
    arguments = {"TORCH": torch} if torch else {}
    below = below_id(buildah, checkout, image) or base_id
    tag = f"{image.repository}:in-{inputs_hash(checkout.root, image, arguments, below)}"
    if image.stands_on:
        arguments[image.stands_on.name.upper()] = built(checkout, image.stands_on)
    if buildah.image_id(tag):
        say(f"{title}: unchanged")
    else:
        with step(f"{title}: {', '.join(arguments.values()) or image.dockerfile}"):
            run_build(buildah, checkout.root, image, arguments, wheels if torch else None, tag)
    buildah("tag", tag, built(checkout, image))
    forget_old(buildah, image)


def below_id(buildah: Buildah, checkout: Checkout, image: Image) -> str | None:
    """The id of the image that this one stands on."""
    if image.stands_on is None:
        return None
    found = buildah.image_id(built(checkout, image.stands_on))
    if not found:
        raise ImagesError(f"{image.name} stands on {image.stands_on.name}, which is not built: `make images`")
    return found


def run_build(
    buildah: Buildah, root: Path, image: Image, arguments: dict[str, str], wheels: Path | None, tag: str
) -> None:
    buildah("rm", "--all")  # working containers, and their mounts, of a build that was killed
    volumes = pip_settings.mounts(buildah.folder / "pip", wheels)
    options = ["--layers", "--pull-never", "--force-rm", f"--file={root / image.dockerfile}", f"--tag={tag}"]
    options += [f"--volume={volume}" for volume in volumes]
    options += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    buildah.bud(
        [*options, str(root)],
        buildah.folder / f"{image.name}.log",
        lambda line: say(f"    {image.name} {line}"),
    )


def built(checkout: Checkout, image: Image) -> str:
    """The name, in the store that all checkouts share, of what this checkout built last."""
    return f"{image.repository}:dev-{checkout.digest}"


def forget_old(buildah: Buildah, image: Image) -> None:
    listed = buildah("images", "--format={{.Name}}:{{.Tag}}", "--filter", f"reference={image.repository}")
    tags = [name for name in (listed or "").splitlines() if f"{image.repository}:in-" in name]
    for name in tags[KEPT:]:  # listed newest first
        buildah("rmi", name)
    stages = buildah("images", "--quiet", "--filter", "dangling=true") or ""
    if len(stages.splitlines()) > MAX_STAGES:
        buildah("rmi", "--prune")


@contextmanager
def store() -> Iterator[Buildah]:
    """The store of images, for one process at a time."""
    require("buildah", "buildah")
    folder = cache_folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build on this machine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield Buildah(folder)
