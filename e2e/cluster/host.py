"""What the machine must have before a cluster can start, and what to do where it lacks something."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import MissingPrerequisite
from .progress import say, step

# command -> Debian package that brings it
COMMANDS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables-restore": "iptables",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "mount": "mount",
    "unshare": "util-linux",
}
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
CNI_PLUGINS = ("ptp", "portmap", "host-local", "loopback")
CNI_PACKAGE = "containernetworking-plugins"
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def prepare() -> None:
    """Raise unless a cluster can start here; as root on Debian or Ubuntu, install what is missing."""
    if sys.platform != "linux":
        raise MissingPrerequisite(
            f"the local cluster needs Linux namespaces, and this is {sys.platform}: use a Linux machine or VM"
        )
    if os.geteuid() != 0:
        raise MissingPrerequisite(
            "the local cluster needs root (namespaces, mounts, control groups): run it again with sudo"
        )
    packages = missing_packages()
    if packages and shutil.which("apt-get"):
        install(packages)
        packages = missing_packages()
    if packages:
        raise MissingPrerequisite(
            f"missing system packages: {' '.join(packages)}. Install them: {' '.join([*INSTALL, *packages])}"
        )


def missing_packages(path: str | None = None) -> list[str]:
    missing = {
        package
        for command, package in COMMANDS.items()
        if not shutil.which(command, path=path or search_path())
    }
    if cni_folder() is None:
        missing.add(CNI_PACKAGE)
    return sorted(missing)


def cni_folder() -> Path | None:
    return next((f for f in CNI_FOLDERS if all((f / plugin).exists() for plugin in CNI_PLUGINS)), None)


def search_path() -> str:
    """The caller's path and the system's: `sbin` is often absent from the former."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}"


def install(packages: list[str]) -> None:
    command = [*INSTALL, *packages]
    say(f"installing system packages: {' '.join(command)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with step("installed system packages"):
        if subprocess.run(command, env=environment, capture_output=True).returncode == 0:
            return
        subprocess.run(["apt-get", "update"], env=environment, capture_output=True)  # the lists may be absent
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise MissingPrerequisite(
            f"`{' '.join(command)}` failed:\n{(result.stderr or result.stdout)[-2000:]}"
        )
