"""Against folders that look like a cgroup file system; the stories use the real one."""

from pathlib import Path

from cluster import cgroups


def files(folder: Path, **content: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_version_1_gets_a_group_in_every_hierarchy_but_not_twice_through_a_link(tmp_path: Path) -> None:
    for name in ("cpu,cpuacct", "memory"):
        files(tmp_path / name, cgroup__procs="")
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    (tmp_path / "lost+found").mkdir()
    cgroups.create("octavo-1", ["n1", "n2"], tmp_path)
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("n[12]")}
    assert made == {f"{name}/octavo-1/{node}" for name in ("cpu,cpuacct", "memory") for node in ("n1", "n2")}


def test_version_1_admits_processes_to_a_new_group_as_it_has_processors_and_memory(tmp_path: Path) -> None:
    files(tmp_path / "g", cpuset__cpus="0-1", cpuset__mems="0")
    files(tmp_path / "g" / "n1", cpuset__cpus="", cpuset__mems="")
    cgroups.admit_processes(tmp_path / "g" / "n1")
    assert (tmp_path / "g/n1/cpuset.cpus").read_text() == "0-1"
    assert (tmp_path / "g/n1/cpuset.mems").read_text() == "0"


def test_version_2_hands_on_the_controllers_that_the_kernel_has(tmp_path: Path) -> None:
    files(
        tmp_path,
        cgroup__controllers="cpu memory pids rdma",
        cgroup__subtree_control="memory",
        cgroup__procs="",
    )
    cgroups.prepare_children(tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +pids"


def test_version_2_is_one_hierarchy(tmp_path: Path) -> None:
    files(tmp_path, cgroup__controllers="cpu")
    files(tmp_path / "system.slice", cgroup__procs="")
    assert cgroups.hierarchies(tmp_path) == [tmp_path]
