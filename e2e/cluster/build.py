"""Building the components from their pinned Go modules, once, into the cache that all checkouts share."""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .archive import COREDNS_IMAGE, PAUSE_IMAGE, write_single_file_image
from .go import check_toolchain, compile_package
from .paths import TOOLS, cache_folder
from .progress import say

KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
IMAGES = {"pause": PAUSE_IMAGE, "coredns": COREDNS_IMAGE}


@dataclass(frozen=True, slots=True)
class Binary:
    name: str
    module: str
    package: str


BINARIES = (
    Binary("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    *(Binary(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}") for name in KUBERNETES),
    Binary("coredns", "coredns", "github.com/coredns/coredns"),
    Binary("pause", "pause", "."),
)
KWOK = Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok")
"""No part of a cluster: the operator's bench has it play the kubelets of many nodes."""
KSTATUS = Binary("kstatus", "kstatus", ".")
"""No part of a cluster: stories ask it what a GitOps tool would make of an object."""


@dataclass(frozen=True, slots=True)
class Components:
    binaries: dict[str, str]
    archives: tuple[str, ...]


def build_all() -> Components:
    """Paths of all components; builds those that the cache lacks."""
    folder = cache_folder() / "bin"
    if missing_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with one_build_at_a_time(folder / "lock"):
            build_missing(folder)
    paths = {binary.name: target(folder, binary) for binary in BINARIES}
    archives = tuple(str(archive_of(paths[name])) for name in IMAGES)
    return Components({name: str(path) for name, path in paths.items()}, archives)


def build_tool(binary: Binary) -> Path:
    """The path of a program that no cluster needs; builds it when the cache lacks it."""
    path = target(cache_folder() / "bin", binary)
    if not path.exists():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        with one_build_at_a_time(path.parent.parent / "lock"):
            if not path.exists():  # asked again: whoever held the lock has built for us too
                check_toolchain(needed_go(binary))
                build(path, binary, binary.name)
    return path


def missing_in(folder: Path) -> list[Binary]:
    targets = {binary: target(folder, binary) for binary in BINARIES}
    return [
        binary
        for binary, path in targets.items()
        if not path.exists() or (binary.name in IMAGES and not archive_of(path).exists())
    ]


def build_missing(folder: Path) -> None:
    missing = missing_in(folder)  # asked again: whoever held the lock has built for us too
    if not missing:
        return
    check_toolchain(needed_go(*BINARIES))
    say(f"building {len(missing)} components from source, once: about 10 minutes for all on 2 cores")
    for position, binary in enumerate(missing, 1):
        build(target(folder, binary), binary, f"{binary.name} ({position} of {len(missing)})")


def build(path: Path, binary: Binary, title: str) -> None:
    say(f"building {title}")
    started = time.monotonic()
    path.parent.mkdir(exist_ok=True)
    with staged(path) as partial:
        compile_package(TOOLS / binary.module, binary.package, build_flags(binary.module), partial, title)
    if image := IMAGES.get(binary.name):
        with staged(archive_of(path)) as partial:
            write_single_file_image(partial, image, path)
    say(f"built {title} in {time.monotonic() - started:.0f} s")


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Write the file under another name first: whatever interrupts us, `path` is whole or absent."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def archive_of(binary: Path) -> Path:
    """The image of one binary, beside it."""
    return binary.with_name(f"{binary.name}.tar")


def target(folder: Path, binary: Binary) -> Path:
    return folder / f"{binary.module}-{key_of(binary.module)}" / binary.name


def key_of(module: str) -> str:
    """Changes with whatever changes the result: pinned versions, our own sources, flags."""
    sources = sorted(path for path in (TOOLS / module).iterdir() if path.suffix in (".mod", ".sum", ".go"))
    content = b"".join(path.read_bytes() for path in sources) + " ".join(build_flags(module)).encode()
    return hashlib.sha256(content).hexdigest()[:12]


def build_flags(module: str) -> list[str]:
    link = "-s -w"
    if version := re.search(r"k8s\.io/kubernetes v((\d+)\.(\d+)\.\S+)", go_mod(module)):
        # What a build in Kubernetes' own repository sets; without it `kubectl version` fails.
        values = {"gitVersion": f"v{version[1]}", "gitMajor": version[2], "gitMinor": version[3]}
        link += "".join(f" -X k8s.io/component-base/version.{key}={value}" for key, value in values.items())
    return ["-trimpath", "-buildvcs=false", "-ldflags", link]


def needed_go(*binaries: Binary) -> str:
    """The newest Go that one of their modules asks for."""
    texts = [go_mod(module) for module in {binary.module for binary in binaries}]
    versions = re.findall(r"^go (\S+)$", "\n".join(texts), re.MULTILINE)
    return str(max(versions, key=lambda version: [int(number) for number in version.split(".")]))


def go_mod(module: str) -> str:
    return (TOOLS / module / "go.mod").read_text()


@contextmanager
def one_build_at_a_time(lock: Path) -> Iterator[None]:
    """Whichever checkout asks for it."""
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
