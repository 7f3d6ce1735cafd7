"""What a process of the cluster sees of the file system. All of it acts in a mount namespace of our own."""

import os
from collections.abc import Iterable
from pathlib import Path

from .parts import run

# kubelet writes these settings of the whole kernel. It gets files of its own to write to.
KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def replace_with_tmpfs(folder: Path, visible: Iterable[str]) -> None:
    """An empty `folder`, but for the `visible` folders below it, which stay what they were."""
    kept = {path: os.open(path, os.O_PATH) for path in visible if Path(path).is_relative_to(folder)}
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    for path, handle in kept.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        run("mount", "--rbind", f"/proc/self/fd/{handle}", path, pass_fds=[handle])
        os.close(handle)


def bind(source: Path, target: Path) -> None:
    for folder in (source, target):
        folder.mkdir(parents=True, exist_ok=True)
    run("mount", "--bind", str(source), str(target))


def protect_kernel_settings() -> None:
    private = Path("/run/kernel-settings")
    private.mkdir()
    for setting in KERNEL_SETTINGS:
        real = Path("/proc/sys") / setting
        own = private / real.name
        own.write_text(real.read_text())
        run("mount", "--bind", str(own), str(real))


def resolve_names_with(server: str) -> None:
    """Name look-ups of the processes that share this namespace go to the cluster's own DNS."""
    own = Path("/run/octavo-resolv.conf")
    own.write_text(f"nameserver {server}\n")
    real = Path("/etc/resolv.conf").resolve()  # often a link into /run
    if real.is_relative_to("/run"):  # which is empty by now
        real.parent.mkdir(parents=True, exist_ok=True)
        real.touch()
    run("mount", "--bind", str(own), str(real))
