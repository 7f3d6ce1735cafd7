"""Which build of torch goes into the engine's image."""

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path

PYTHON = "cp311"
"""Debian 12's, which the image has."""


def wheel_folder(root: Path) -> Path | None:
    """`WHEELS`, else the folder beside the checkout that may hold a CPU build of torch."""
    named = os.environ.get("WHEELS")
    folder = (root / named if named else root.parent / "shared" / "wheels").resolve()
    return folder if folder.is_dir() else None


def requirement(names: Iterable[str]) -> str | None:
    """The requirement that takes exactly the newest wheel of torch that fits the image, if one does."""
    pattern = re.compile(rf"torch-([^-]+)-{PYTHON}-{PYTHON}-\w*{platform.machine()}\.whl")
    versions = sorted(match[1] for name in names if (match := pattern.fullmatch(name)))
    return f"torch=={versions[-1]}" if versions else None
