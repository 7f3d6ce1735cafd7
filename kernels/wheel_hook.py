"""Puts the compiled CPU kernels into a wheel. hatchling runs it, without torch or this project installed."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is not installed
    """A wheel without them still works: it compiles on first use, or else PyTorch's operations run."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or platform.machine() != "x86_64":
            return
        kernels = Path(self.root) / "kernels"
        self._folder = tempfile.TemporaryDirectory()
        done = subprocess.run(
            [sys.executable, "-m", "octavo_kernels.native.build", "--out", self._folder.name],
            env={**os.environ, "PYTHONPATH": str(kernels)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            self.app.display_warning(f"the wheel goes without compiled CPU kernels: {done.stderr.strip()}")
            return
        for library in Path(self._folder.name).glob("*.so"):
            build_data["force_include"][str(library)] = f"octavo_kernels/native/lib/{library.name}"
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-linux_x86_64"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()
