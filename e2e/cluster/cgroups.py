"""The control groups of one cluster: `/NAME/nI` in every hierarchy, made before kubelet, removed after it."""

import time
from pathlib import Path

from .errors import ClusterError

ROOT = Path("/sys/fs/cgroup")
V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The mounted hierarchies: one for version 2, else one a controller (`cpu` may link to `cpu,cpuacct`)."""
    if (root / "cgroup.controllers").exists():
        return [root]
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.is_symlink()]
    return [entry for entry in folders if (entry / "cgroup.procs").exists()]


def create(name: str, nodes: list[str], root: Path = ROOT) -> None:
    for hierarchy in hierarchies(root):
        prepare_children(hierarchy)
        make_group(hierarchy / name)
        for node in nodes:
            make_group(hierarchy / name / node)


def make_group(folder: Path) -> None:
    folder.mkdir()
    admit_processes(folder)
    prepare_children(folder)


def admit_processes(folder: Path) -> None:
    """Version 1 only: a new group has no processor and no memory, and so admits no process."""
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (folder / setting).exists() and not (folder / "cgroup.controllers").exists():
            (folder / setting).write_text((folder.parent / setting).read_text())


def prepare_children(folder: Path) -> None:
    """Version 2 only: hand the controllers on to the groups below."""
    control = folder / "cgroup.subtree_control"
    if not control.exists():
        return
    offered = (folder / "cgroup.controllers").read_text().split()
    missing = set(offered) & set(V2_CONTROLLERS) - set(control.read_text().split())
    if not missing:
        return
    try:
        control.write_text(" ".join(f"+{name}" for name in sorted(missing)))
    except OSError as error:
        raise ClusterError(
            f"cannot enable {sorted(missing)} in {control} ({error.strerror}): move the processes that "
            f"{folder}/cgroup.procs lists into a group below it, or start the container with --cgroupns=host"
        ) from error


def remove(name: str, root: Path = ROOT, seconds: float = 10.0) -> None:
    """Remove the folders that a dead cluster left. The kernel may need a moment to see them as empty."""
    deadline = time.monotonic() + seconds
    while left := [hierarchy / name for hierarchy in hierarchies(root) if (hierarchy / name).exists()]:
        for folder in left:
            remove_tree(folder)
        if time.monotonic() > deadline and any(folder.exists() for folder in left):
            raise ClusterError(f"{left[0]} still holds processes: see {left[0]}/**/cgroup.procs")
        if any(folder.exists() for folder in left):
            time.sleep(0.05)


def remove_tree(folder: Path) -> None:
    for child in [entry for entry in folder.iterdir() if entry.is_dir()]:
        remove_tree(child)
    try:
        folder.rmdir()
    except OSError:
        return  # busy for a moment longer; `remove` tries again and reports
