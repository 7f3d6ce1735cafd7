from pathlib import Path

import pytest

from octavo_engine.worker.host_limits import available_memory, memory_limit, num_usable_cpus, own_memory

GIB = 1 << 30


class Host:
    """A machine's /proc and /sys/fs/cgroup in a folder."""

    def __init__(self, folder: Path) -> None:
        self.cgroup, self.proc = folder / "cgroup", folder / "proc"
        self.write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
        self.write("proc/self/status", "Name: x\nRssAnon: 100 kB\nRssFile: 900 kB\nRssShmem: 20 kB\n")

    def write(self, name: str, text: str) -> None:
        path = self.cgroup.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(40)))
    return Host(tmp_path)


def test_a_container_with_its_own_cgroup_root(host: Host) -> None:
    host.write("proc/self/cgroup", "0::/\n")
    host.write("cgroup/cpu.max", "250000 100000\n")
    host.write("cgroup/memory.max", f"{2 * GIB}\n")
    assert num_usable_cpus(host.cgroup, host.proc) == 2
    assert memory_limit(host.cgroup, host.proc) == 2 * GIB


def test_the_tightest_limit_on_the_way_up_counts(host: Host) -> None:
    host.write("proc/self/cgroup", "0::/pod/engine\n")
    host.write("cgroup/pod/engine/memory.max", "max\n")
    host.write("cgroup/pod/engine/cpu.max", "max 100000\n")
    host.write("cgroup/pod/memory.max", f"{3 * GIB}\n")
    host.write("cgroup/pod/cpu.max", "300000 100000\n")
    assert num_usable_cpus(host.cgroup, host.proc) == 3
    assert memory_limit(host.cgroup, host.proc) == 3 * GIB


def test_a_path_seen_from_outside_the_container_falls_back_to_the_mounted_root(host: Host) -> None:
    host.write("proc/self/cgroup", "0::/kubepods/pod1/abc\n")
    host.write("cgroup/memory.max", f"{GIB}\n")
    assert memory_limit(host.cgroup, host.proc) == GIB


def test_the_first_version_of_cgroups(host: Host) -> None:
    host.write("proc/self/cgroup", "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n1:name=systemd:/docker/x\n")
    host.write("cgroup/cpu/cpu.cfs_quota_us", "400000\n")
    host.write("cgroup/cpu/cpu.cfs_period_us", "100000\n")
    host.write("cgroup/memory/memory.limit_in_bytes", f"{4 * GIB}\n")
    assert num_usable_cpus(host.cgroup, host.proc) == 4
    assert memory_limit(host.cgroup, host.proc) == 4 * GIB


def test_a_machine_without_limits_is_used_whole(host: Host) -> None:
    host.write("proc/self/cgroup", "0::/user.slice\n")
    host.write("cgroup/user.slice/memory.max", "max\n")
    assert num_usable_cpus(host.cgroup, host.proc) == 40
    assert memory_limit(host.cgroup, host.proc) is None
    assert available_memory(host.proc) == 8 * GIB


def test_less_than_one_cpu_is_still_one_thread(host: Host) -> None:
    host.write("proc/self/cgroup", "0::/\n")
    host.write("cgroup/cpu.max", "50000 100000\n")
    assert num_usable_cpus(host.cgroup, host.proc) == 1


def test_mapped_files_are_not_our_memory(host: Host) -> None:
    assert own_memory(host.proc) == 120 * 1024
