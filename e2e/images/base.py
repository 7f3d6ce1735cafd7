"""The Debian image that the Dockerfiles start from, also where no image registry can be reached."""

import subprocess
from pathlib import Path

from .buildah import Buildah, require
from .errors import ImagesError
from .progress import say, step

NAME = "docker.io/library/debian:bookworm-slim"
PULL_SECONDS = 120
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")


def ensure(buildah: Buildah) -> str:
    """The image's id. It is taken from the store, else from the registry, else made with mmdebstrap."""
    if found := buildah.image_id(NAME):
        return found
    with step(f"{NAME} is asked of its registry"):
        pulled = buildah("pull", "--quiet", NAME, check=False, timeout=PULL_SECONDS)
    if pulled is None:
        say("no registry answers: the Debian base is made here")
        make(buildah)
    found = buildah.image_id(NAME)
    assert found, NAME
    return found


def make(buildah: Buildah) -> None:
    require("mmdebstrap", "mmdebstrap", "debian-archive-keyring")
    archive = buildah.folder / "debian.tar"
    with step("mmdebstrap: a minimal Debian 12 (about half a minute)"):
        bootstrap(archive)
    with step(f"commit {NAME}"):
        container = buildah("from", "scratch")
        assert container
        try:
            buildah("add", "--quiet", container, str(archive), "/")
            buildah("config", "--cmd", "bash", container)
            buildah("commit", "--quiet", container, NAME)
        finally:
            buildah("rm", container)
            archive.unlink()


def bootstrap(archive: Path) -> None:
    left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command = ["mmdebstrap", "--variant=minbase", *left_out, "bookworm", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        archive.unlink(missing_ok=True)
        raise ImagesError(f"{' '.join(command)}:\n{done.stderr[-2000:]}\nIs a Debian mirror within reach?")
