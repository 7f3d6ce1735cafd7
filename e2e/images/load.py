"""`load`: bring built images to the nodes of the local cluster, sending only the blobs that a node lacks."""

import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cluster.images
from cluster import guard, image_store
from cluster.errors import ClusterError
from cluster.paths import Checkout, this_checkout

from . import layout
from .build import built, store
from .catalogue import IMAGES, Image
from .errors import ImagesError
from .layout import Index
from .progress import say, step


def load(images: Sequence[Image] = IMAGES) -> None:
    """Raises ImagesError when one of them is not built."""
    try:
        send_missing(images)
    except ClusterError as error:
        # What a node had when it was asked, its containerd may have thrown away before the import.
        say(f"once more, with what the nodes have now: {error}")
        send_missing(images)


def send_missing(images: Sequence[Image]) -> None:
    checkout = this_checkout()
    sockets = node_sockets(checkout)
    with store() as buildah:
        folder = buildah.folder / "layout"
        wanted = {}
        for image in images:
            name = built(checkout, image)
            if not buildah.image_id(name):
                raise ImagesError(f"{image.name} is not built: run `make images`")
            wanted[image.reference] = layout.export(buildah, name, folder)
        missing = {name: entry for name, entry in wanted.items() if not is_everywhere(sockets, name, entry)}
        if not missing:
            say(f"the cluster has {', '.join(wanted)} already")
            return
        with tempfile.TemporaryDirectory(dir=buildah.folder) as temporary:
            archive = Path(temporary) / "images.tar"
            with step(f"load {', '.join(missing)}"):
                write_archive(archive, folder, missing, common_blobs(sockets))
                cluster.images.load(checkout, [archive])


def node_sockets(checkout: Checkout) -> list[str]:
    record = guard.require_own_context(checkout.kubeconfig, checkout)
    return [cluster.images.containerd_socket(checkout.state, n) for n in range(1, record.nodes + 1)]


def is_everywhere(sockets: Sequence[str], name: str, entry: Index) -> bool:
    return all(image_store.image_digests(socket).get(name) == entry["digest"] for socket in sockets)


def common_blobs(sockets: Sequence[str]) -> set[str]:
    """Digests that every node has."""
    stores = [set(image_store.ctr(socket, "content", "list", "--quiet").split()) for socket in sockets]
    return set.intersection(*stores)


def write_archive(archive: Path, folder: Path, images: Mapping[str, Index], present: set[str]) -> None:
    """An OCI archive without the blobs that are present: containerd takes those from its own store."""
    needed = {digest for entry in images.values() for digest in layout.digests(folder, entry)}
    entries = [named(entry, name) for name, entry in images.items()]
    with tarfile.open(archive, "w") as tar:
        add_json(tar, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        for digest in sorted(needed - present):
            file = layout.blob(folder, digest)
            tar.add(file, str(file.relative_to(folder)))
        add_json(tar, "index.json", {"schemaVersion": 2, "manifests": entries})


def named(entry: Index, name: str) -> Index:
    return entry | {"annotations": {"io.containerd.image.name": name, layout.REFERENCE: name}}


def add_json(tar: tarfile.TarFile, name: str, value: object) -> None:
    content = json.dumps(value).encode()
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
