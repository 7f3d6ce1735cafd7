import shutil
from pathlib import Path

import pytest

from cluster import build, go, host
from cluster.errors import MissingPrerequisite


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tools"
    shutil.copytree(build.TOOLS, folder)
    monkeypatch.setattr(build, "TOOLS", folder)
    return folder


def test_another_pinned_version_is_built_into_another_folder_and_leaves_the_other_modules_alone(
    tools: Path,
) -> None:
    before = {module: build.key_of(module) for module in ("kubernetes", "etcd", "coredns", "pause")}
    go_mod = tools / "kubernetes" / "go.mod"
    go_mod.write_text(go_mod.read_text().replace("k8s.io/kubernetes v1.", "k8s.io/kubernetes v2."))
    changed = [module for module, key in before.items() if build.key_of(module) != key]
    assert changed == ["kubernetes"]


def test_kubernetes_knows_its_own_version() -> None:
    flags = " ".join(build.build_flags("kubernetes"))
    assert "version.gitVersion=v1.35.4" in flags
    assert "version.gitMajor=1 " in flags
    assert flags.endswith("version.gitMinor=35")


def test_no_pinned_module_names_a_registry() -> None:
    texts = [path.read_text() for path in build.TOOLS.rglob("go.*")]
    assert len(texts) == 11
    assert not any("proxy." in text or "sum." in text for text in texts)


def test_an_interrupted_build_leaves_no_half_binary(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), build.staged(tmp_path / "kubelet") as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "version"), [("go1.19.8", (1, 19)), ("go1.26", (1, 26)), ("devel", (0, 0))]
)
def test_go_tells_its_version(words: str, version: tuple[int, int]) -> None:
    assert go.version_of(words) == version


def test_a_machine_without_go_is_told_which_go_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPrerequisite, match=r"install Go 1\.26\.0 or newer"):
        go.check_toolchain(build.needed_go(*build.BINARIES))


def test_each_missing_command_is_reported_as_the_package_that_brings_it(tmp_path: Path) -> None:
    (tmp_path / "openssl").touch(mode=0o755)
    assert set(host.COMMANDS.values()) - set(host.missing_packages(str(tmp_path))) == {"openssl"}
