"""Images and leftover containers in one node's containerd, through its socket."""

from pathlib import Path

from .archive import images_in
from .parts import run

NAMESPACE = "k8s.io"


def ctr(socket: str, *arguments: str) -> str:
    return run("ctr", "--address", socket, "--namespace", NAMESPACE, *arguments)


def load(socket: str, archive: Path) -> list[str]:
    """Import what the archive holds and the store lacks; returns the names of the images imported."""
    offered = images_in(archive)
    present = image_digests(socket)
    if offered and all(present.get(name) == digest for name, digest in offered.items()):
        return []
    ctr(socket, "images", "import", str(archive))
    prune(socket)
    return sorted(offered) or sorted(set(image_digests(socket)) - set(present))


def image_digests(socket: str) -> dict[str, str]:
    """Image reference -> digest. The references `sha256:...` are kubelet's names for the same images."""
    rows = ctr(socket, "images", "list").splitlines()[1:]
    return {row.split()[0]: row.split()[2] for row in rows}


def prune(socket: str) -> None:
    """Forget images that no name leads to any more, as after each rebuild of a development image."""
    images = image_digests(socket)
    named = {digest for reference, digest in images.items() if not reference.startswith("sha256:")}
    forgotten = [reference for reference, digest in images.items() if digest not in named]
    if forgotten:
        ctr(socket, "images", "remove", *forgotten)


def remove_containers(socket: str) -> None:
    if containers := ctr(socket, "containers", "list", "--quiet").split():
        ctr(socket, "containers", "remove", *containers)
