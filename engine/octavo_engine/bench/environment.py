"""Names the machine, the model and the code that a bench ran with."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from octavo_engine import __version__
from octavo_engine.bench.result import Environment
from octavo_engine.machine import read_machine
from octavo_engine.messages import EngineInfo
from octavo_engine.worker.device_memory import read_memory


def describe(model: Path, info: EngineInfo) -> Environment:
    machine = read_machine()
    return Environment(
        model=model.resolve().name,
        dtype=info.dtype,
        device=read_memory("cuda").device_name if info.device == "cuda" else "CPU",
        cpu=machine.cpu,
        num_threads=machine.num_cpus,
        instruction_set=machine.instruction_set,
        version=__version__,
        commit=_commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _commit() -> str | None:
    """None for an installed package, which has no history beside it."""
    commit = _git("rev-parse", "--short", "HEAD")
    if commit is None:
        return None
    return f"{commit}+" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
