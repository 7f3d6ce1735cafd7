"""How far a job is, on stderr: a bar where there is a terminal, else a line every few seconds."""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_FRAMES = 0.25


@dataclass(slots=True)
class Counts:
    """Filled while the job runs. `total` and `done` count the prompts of this run."""

    total: int
    done: int = 0
    failed: int = 0
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    def text(self, now: float) -> str:
        seconds = max(now - self.started, 1e-9)
        parts = [f"{self.done} of {self.total} prompts", f"{self.tokens / seconds:.1f} tokens/s"]
        parts += [f"{self.failed} failed"] * bool(self.failed)
        if 0 < self.done < self.total:
            parts.append(f"{_clock(seconds / self.done * (self.total - self.done))} left")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


async def show_progress(counts: Counts, stream: TextIO = sys.stderr) -> None:
    """Runs until it is cancelled."""
    if stream.isatty():
        await _bar(counts, stream)
    else:
        await _repeat(SECONDS_BETWEEN_LINES, lambda: _say(counts, stream))


async def _bar(counts: Counts, stream: TextIO) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("", total=counts.total)
        await _repeat(
            SECONDS_BETWEEN_FRAMES,
            lambda: bar.update(task, completed=counts.done, description=counts.text(time.monotonic())),
        )


async def _repeat(seconds: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        work()


def _say(counts: Counts, stream: TextIO) -> None:
    stream.write(f"octavo generate: {counts.text(time.monotonic())}\n")
    stream.flush()
