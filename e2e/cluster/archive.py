"""Image archives: our own of one static file (OCI layout), and what an archive says about itself."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from .errors import ClusterError

PAUSE_IMAGE = "octavo.local/pause:1"
COREDNS_IMAGE = "octavo.local/coredns:1.15.0"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_single_file_image(archive: Path, name: str, binary: Path) -> None:
    """An image `name` whose root holds `binary` alone, which is also its entrypoint."""
    layer = tar_of({binary.name: binary.read_bytes()}, mode=0o755)
    blobs: dict[str, bytes] = {}
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{binary.name}"], "User": "10001:10001", "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": add_blob(blobs, "application/vnd.oci.image.config.v1+json", as_json(config)),
        "layers": [add_blob(blobs, "application/vnd.oci.image.layer.v1.tar", layer)],
    }
    entry = add_blob(blobs, MANIFEST, as_json(manifest))
    entry["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [entry]}
    files = {"oci-layout": as_json({"imageLayoutVersion": "1.0.0"}), "index.json": as_json(index)}
    archive.write_bytes(tar_of(files | blobs, mode=0o644))


def tar_of(files: dict[str, bytes], *, mode: int) -> bytes:
    """The same files give the same bytes: no times, no owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def add_blob(blobs: dict[str, bytes], media_type: str, content: bytes) -> dict[str, object]:
    digest = digest_of(content)
    blobs[f"blobs/sha256/{digest.removeprefix('sha256:')}"] = content
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def as_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def images_in(archive: Path) -> dict[str, str]:
    """Image name -> manifest digest of an OCI archive. Empty for a Docker archive, which has no digests."""
    try:
        with tarfile.open(archive) as tar:
            index_file = next(
                (tar.extractfile(m) for m in tar if m.name in ("index.json", "./index.json")), None
            )
            entries = json.load(index_file)["manifests"] if index_file else []
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise ClusterError(f"{archive} is no image archive that can be read: {error}") from error
    named = {}
    for entry in entries:
        notes = entry.get("annotations", {})
        name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name")
        if name:
            named[name] = entry["digest"]
    return named
