"""buildah with a store of its own in the cache folder."""

import os
import selectors
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.host import INSTALL, install

from .errors import ImagesError

# chroot needs no container runtime and no control groups: it also works inside a container.
ENVIRONMENT = {"BUILDAH_ISOLATION": "chroot"}
SLOW_SECONDS = 1.5
TAIL_LINES = 30


def require(command: str, *packages: str) -> None:
    """Raise unless the command is there; as root on Debian or Ubuntu, install what brings it."""
    if shutil.which(command):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        install(list(packages))
    if not shutil.which(command):
        raise ImagesError(f"{command} is missing. Install it: {' '.join([*INSTALL, *packages])}")


@dataclass(frozen=True, slots=True)
class Buildah:
    folder: Path

    def command(self, *arguments: str) -> list[str]:
        store = [f"--root={self.folder}/store", f"--runroot={self.folder}/run"]
        return ["buildah", *store, *storage_driver(self.folder), *arguments]

    def __call__(self, *arguments: str, check: bool = True, timeout: float | None = None) -> str | None:
        """What it printed; None when it failed and `check` is not set."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                env=os.environ | ENVIRONMENT,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            if check:
                raise
            return None
        if done.returncode == 0:
            return done.stdout.strip()
        if check:
            raise ImagesError(f"buildah {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return None

    def image_id(self, reference: str) -> str | None:
        return self("images", "--quiet", "--no-trunc", reference, check=False) or None

    def bud(self, arguments: Sequence[str], log: Path, say: Callable[[str], None]) -> None:
        """Build; the whole output goes to `log`, and `say` gets each step that takes its time."""
        process = subprocess.Popen(
            self.command("bud", *arguments),
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            with log.open("wb") as file:
                follow(process, file.write, say)
        finally:
            if process.poll() is None:
                process.terminate()
            code = process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if code != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
            raise ImagesError(f"the build failed; all of its output is in {log}:\n{tail}")


def follow(
    process: subprocess.Popen[bytes], write: Callable[[bytes], object], say: Callable[[str], None]
) -> None:
    """Copy the output until it ends. Said are the steps that stay silent for a while: cached ones do not."""
    assert process.stdout is not None
    output = process.stdout.fileno()
    current, rest = "", b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if current and not selector.select(SLOW_SECONDS):
                say(current)
                current = ""
            chunk = os.read(output, 65536)
            if not chunk:
                return
            write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            current = next((found for line in reversed(lines) if (found := step_in(line))), current)


def step_in(line: bytes) -> str:
    """`[4/6] STEP 2/3: RUN pip ...` in at most one terminal line; empty for any other line."""
    text = line.decode(errors="replace")
    return " ".join(text.split())[:110] if "STEP " in text else ""


def storage_driver(folder: Path) -> list[str]:
    """overlay, except where the folder itself lies on an overlay, as inside most containers."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(existing)], capture_output=True, text=True, check=True
    )
    if kind.stdout.strip() == "overlayfs":
        return ["--storage-driver=vfs"]
    # Otherwise buildah mounts the store onto itself and leaves that mount behind.
    return ["--storage-driver=overlay", "--storage-opt=overlay.skip_mount_home=true"]
