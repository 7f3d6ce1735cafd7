"""Starting the parts of a cluster and noticing the first one that ends."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import ClusterError


class Parts:
    """The children of one supervising process. All write to `LOGS/NAME.log`."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: dict[int, str] = {}

    def start(self, name: str, command: Sequence[str], pass_fds: Sequence[int] = ()) -> int:
        with (self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=pass_fds, cwd="/"
            )
        self.running[child.pid] = name
        child.returncode = 0  # `wait_for_end` reaps it; Popen must not
        return child.pid

    def wait_for_end(self) -> str:
        """Block until one part ends and say which. Reaps orphans on the way: PID 1 inherits all of them."""
        while True:
            pid, status = os.wait()
            if name := self.running.pop(pid, None):
                code = os.waitstatus_to_exitcode(status)
                return f"{name} ended with status {code}: see {self.logs / name}.log"


def run(*command: str, pass_fds: Sequence[int] = ()) -> str:
    """Run a short command; its own words are in the error when it fails."""
    result = subprocess.run(command, capture_output=True, text=True, pass_fds=pass_fds)
    if result.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {result.stderr.strip() or result.returncode}")
    return result.stdout


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)
