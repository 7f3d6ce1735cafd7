"""What this process may use of the machine: a container's limits where there are any, else the machine."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def num_usable_cpus(cgroup_root: Path = CGROUP_ROOT, proc: Path = PROC) -> int:
    """Whole CPUs of the quota: a thread more than that is throttled, and all wait for it."""
    num_cpus = float(len(os.sched_getaffinity(0)))
    for folder in _cgroup_folders(cgroup_root, proc, "cpu"):
        quota = _read(folder / "cpu.max") or _v1_cpu_quota(folder)
        if quota and not quota.startswith(("max", "-1")):
            allowed, period = quota.split()
            num_cpus = min(num_cpus, int(allowed) / int(period))
    return max(1, math.floor(num_cpus))


def memory_limit(cgroup_root: Path = CGROUP_ROOT, proc: Path = PROC) -> int | None:
    """Bytes that the container may use; None where nothing limits it."""
    machine = _meminfo(proc)["MemTotal"]
    limits = [machine]
    for folder in _cgroup_folders(cgroup_root, proc, "memory"):
        text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        if text and text != "max":
            limits.append(int(text))
    return min(limits) if min(limits) < machine else None


def available_memory(proc: Path = PROC) -> int:
    """Bytes that the machine can give without swapping."""
    return _meminfo(proc)["MemAvailable"]


def own_memory(proc: Path = PROC) -> int:
    """Bytes that this process holds and the kernel cannot take back; mapped files are not among them."""
    status = (proc / "self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in status if line.startswith("Rss"))
    return sum(int(values[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))


def _cgroup_folders(root: Path, proc: Path, controller: str) -> Iterator[Path]:
    """Our group and all above it, in whichever of the two layouts is mounted.

    In a container the mount shows our own group at its root, under a path that /proc may not know.
    """
    for line in (_read(proc / "self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        folder = base / path.lstrip("/")
        yield from (parent for parent in (folder, *folder.parents) if parent.is_relative_to(base))


def _v1_cpu_quota(folder: Path) -> str | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    return f"{quota} {period}" if quota and period else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _meminfo(proc: Path) -> dict[str, int]:
    lines = (proc / "meminfo").read_text().splitlines()
    return {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":", 1) for line in lines)}
