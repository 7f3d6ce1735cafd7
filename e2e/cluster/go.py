"""Running `go` in one of our tool modules, with progress."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .errors import ClusterError, MissingPrerequisite
from .progress import say

DOCUMENTATION = "https://go.dev/doc/install"
Progress = Callable[[int, float], str]
"""Lines that go has said so far, seconds since it started -> a line of progress."""


def check_toolchain(needed: str) -> None:
    """Raise unless there is a Go that can build modules which need Go `needed`."""
    if not shutil.which("go"):
        raise MissingPrerequisite(f"no `go` was found: install Go {needed} or newer, see {DOCUMENTATION}")
    words = subprocess.run(["go", "env", "GOVERSION"], cwd="/", capture_output=True, text=True).stdout.strip()
    # From 1.21 on, Go fetches a newer toolchain by itself where a module asks for it.
    if version_of(words) < (1, 21):
        raise MissingPrerequisite(
            f"`go` is {words}, too old: install Go {needed} or newer, see {DOCUMENTATION}"
        )


def version_of(words: str) -> tuple[int, int]:
    found = re.search(r"go(\d+)\.(\d+)", words)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def count_packages(folder: Path, package: str, title: str) -> int:
    """How many packages a build compiles. Fetches the sources that Go's module cache lacks."""
    command = ["go", "list", "-deps", "-f", "{{.ImportPath}}", package]
    return len(
        run_go(command, folder, lambda _, seconds: f"fetching the sources of {title}, {seconds:.0f} s")
    )


def compile_package(folder: Path, package: str, flags: list[str], output: Path, title: str) -> None:
    total = count_packages(folder, package, title)
    command = ["go", "build", "-v", *flags, "-o", str(output), package]
    run_go(command, folder, lambda n, seconds: f"building {title}: {n} of {total} packages, {seconds:.0f} s")


def run_go(command: list[str], folder: Path, progress: Progress) -> list[str]:
    """Its output's lines. Says how far it is every ten seconds."""
    started = time.monotonic()
    output: list[str] = []
    messages: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        # Two threads read, for either pipe could fill and block the build.
        readers = [
            threading.Thread(target=lines.extend, args=(stream,), daemon=True)
            for lines, stream in ((output, process.stdout), (messages, process.stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            while not has_ended(process, seconds=10):
                say(progress(len(messages), time.monotonic() - started))
        finally:
            process.kill()
            for reader in readers:
                reader.join()
    if process.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed in {folder}:\n{''.join(messages[-20:])}")
    return output


def has_ended(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def environment() -> dict[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}
