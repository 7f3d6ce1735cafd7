"""Building the components from their pinned Go modules, once, into the cache that all checkouts share."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .archive import COREDNS_IMAGE, PAUSE_IMAGE, write_single_file_image
from .errors import ClusterError, MissingPrerequisite
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


@dataclass(frozen=True, slots=True)
class Components:
    binaries: dict[str, str]
    archives: tuple[str, ...]


def build_all() -> Components:
    """Paths of all components; builds those that the cache lacks."""
    folder = cache_folder() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    if any(not target(folder, binary).exists() for binary in BINARIES):
        with lock(folder / "lock"):
            build_missing(folder)
    binaries = {binary.name: target(folder, binary) for binary in BINARIES}
    archives = tuple(str(archive(binaries[name], image)) for name, image in IMAGES.items())
    return Components({name: str(path) for name, path in binaries.items()}, archives)


def build_missing(folder: Path) -> None:
    missing = [binary for binary in BINARIES if not target(folder, binary).exists()]
    if not missing:
        return  # the build that held the lock made them
    check_go()
    say(f"building {len(missing)} components from source, once; about 10 minutes on 2 cores")
    for position, binary in enumerate(missing, 1):
        build(target(folder, binary), binary, f"{binary.name} ({position} of {len(missing)})")


def build(path: Path, binary: Binary, title: str) -> None:
    started = time.monotonic()
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    total = num_packages(binary, title)
    try:
        compile_package(binary, partial, title, total)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    say(f"built {title} in {time.monotonic() - started:.0f} s")


def archive(binary: Path, image: str) -> Path:
    """The image of one binary, beside it."""
    path = binary.with_name(f"{binary.name}.tar")
    if not path.exists():
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        write_single_file_image(partial, image, binary)
        partial.replace(path)
    return path


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
        # What `git describe` gives in a checkout of Kubernetes; without it `kubectl version` fails.
        values = {"gitVersion": f"v{version[1]}", "gitMajor": version[2], "gitMinor": version[3]}
        link += "".join(f" -X k8s.io/component-base/version.{key}={value}" for key, value in values.items())
    return ["-trimpath", "-buildvcs=false", "-ldflags", link]


def go_mod(module: str) -> str:
    return (TOOLS / module / "go.mod").read_text()


def check_go() -> None:
    if not shutil.which("go"):
        raise MissingPrerequisite(
            f"building Kubernetes needs Go {needed_go()} or newer, and there is no `go`: see https://go.dev/doc/install"
        )
    words = subprocess.run(["go", "env", "GOVERSION"], cwd="/", capture_output=True, text=True).stdout
    found = re.search(r"go(\d+)\.(\d+)", words)
    # From 1.21 on, Go fetches a newer toolchain by itself where a module asks for it.
    if found is None or (int(found[1]), int(found[2])) < (1, 21):
        raise MissingPrerequisite(
            f"`go` is {words.strip()}, too old to build Kubernetes: install Go {needed_go()}, see https://go.dev/doc/install"
        )


def needed_go() -> str:
    versions = re.findall(r"^go (\S+)", "\n".join(go_mod(binary.module) for binary in BINARIES), re.MULTILINE)
    newest: str = max(versions, key=lambda version: [int(number) for number in version.split(".")])
    return newest


def go_environment() -> dict[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}


def num_packages(binary: Binary, title: str) -> int:
    """How many packages there are to compile. Fetches the sources where the module cache lacks them."""
    say(f"reading the sources of {title}")
    command = ["go", "list", "-deps", "-f", "{{.ImportPath}}", binary.package]
    return len(
        run_go(
            command, binary, lambda lines, seconds: f"fetching the sources of {title}, {seconds:.0f} s"
        ).output
    )


def compile_package(binary: Binary, output: Path, title: str, total: int) -> None:
    command = ["go", "build", "-v", *build_flags(binary.module), "-o", str(output), binary.package]
    run_go(
        command,
        binary,
        lambda lines, seconds: f"building {title}: {lines} of {total} packages, {seconds:.0f} s",
    )


@dataclass(frozen=True, slots=True)
class GoResult:
    output: list[str]


def run_go(command: list[str], binary: Binary, progress: Callable[[int, float], str]) -> GoResult:
    """Run `go` in a module of ours, with a line of progress every ten seconds."""
    started = time.monotonic()
    output: list[str] = []
    messages: list[str] = []
    process = subprocess.Popen(
        command,
        cwd=TOOLS / binary.module,
        env=go_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    readers = [
        threading.Thread(target=lines.extend, args=(stream,), daemon=True)
        for lines, stream in ((output, process.stdout), (messages, process.stderr))
    ]
    for reader in readers:
        reader.start()
    try:
        while not ended(process, seconds=10):
            say(progress(len(messages), time.monotonic() - started))
    finally:
        process.kill()
        process.wait()
    for reader in readers:
        reader.join()
    if process.returncode:
        raise ClusterError(
            f"`{' '.join(command)}` failed in {TOOLS / binary.module}:\n{''.join(messages[-20:])}"
        )
    return GoResult(output)


def ended(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """One build at a time, whichever checkout asks for it."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
