"""A second checkout with a cluster of its own, and what tells whether anything of it is left."""

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

from cluster import paths, processes
from cluster.cgroups import ROOT
from cluster.paths import Checkout
from cluster.record import Record, read_record


class OtherCheckout:
    """A second working copy with nothing but the cluster tool, which is run as a user runs it."""

    def __init__(self, root: Path) -> None:
        shutil.copytree(paths.PACKAGE, root / "e2e" / "cluster")
        self.checkout = Checkout(root)
        self.state = self.checkout.state
        self.environment = os.environ | {"PYTHONPATH": str(root / "e2e"), "PYTHONWARNINGS": "error"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cluster", *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def tool(self, *arguments: str) -> str:
        with self.start(*arguments) as process:
            output = process.communicate(timeout=120)[0]
        assert process.returncode == 0, output
        return output

    def kubectl(self, *arguments: str, check: bool = True, text: str | None = None) -> str:
        command = [str(self.checkout.kubectl), *arguments]
        result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0 or not check, result.stderr
        return result.stdout + result.stderr

    def record(self) -> Record:
        record = read_record(self.state.record)
        assert record is not None
        return record


def get_through_socks(port: int, host: str, path: str) -> str:
    """The answer to a GET, asked from inside the cluster, where `host` is resolved too."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        target = bytes([len(host)]) + host.encode() + (80).to_bytes(2)
        connection.sendall(b"\x05\x01\x00" + b"\x05\x01\x00\x03" + target)
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while received := connection.recv(4096):
            answer += received
    return answer.decode(errors="replace")


def get_forwarded(other: OtherCheckout, target: str, port: int, path: str) -> str:
    """The answer to a GET through `kubectl port-forward`."""
    command = [str(other.checkout.kubectl), "-n", "kube-system", "port-forward", target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as forwarding:
        assert forwarding.stdout is not None
        try:
            said = forwarding.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", said)
            assert found, said
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        finally:
            forwarding.kill()


def family(pid: int | None) -> dict[int, int | None]:
    """A process and all its descendants, with the times at which they started: process ids are used again."""
    if pid is None:
        return {}
    found: dict[int, int | None] = {pid: start_time(pid)}
    with suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found |= family(int(child))
    return found


def start_time(pid: int) -> int | None:
    """None for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def survivors(family_before: dict[int, int | None]) -> list[int]:
    return [pid for pid, started in family_before.items() if started and start_time(pid) == started]


def is_run_as(pid: int, name: str) -> bool:
    line = processes.command_line(pid)
    return name in line or Path(line[0]).name == name if line else False


def groups(other: OtherCheckout) -> list[Path]:
    name = other.checkout.cluster_name
    return [*ROOT.glob(name), *ROOT.glob(f"*/{name}")]


def traces_on_host() -> tuple[str, ...]:
    """What the host's network and mounts look like."""
    commands = (["ip", "-o", "link"], ["ip", "route"], ["iptables-save"])
    said = [subprocess.run(command, capture_output=True, text=True, check=True) for command in commands]
    network = [line for each in said for line in each.stdout.splitlines() if not line.startswith("#")]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return (*network, *(line for line in mounts if "/cluster/n" in line or "/netns" in line))
