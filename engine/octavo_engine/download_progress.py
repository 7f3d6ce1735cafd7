"""The hub client's progress bars as log lines: pods have no terminal to draw on."""

import logging
import time
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from octavo_engine.logs import log_event

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


class LoggedProgress(tqdm):  # type: ignore[misc]
    """The client makes three bars: bytes received, bytes written, files. The second becomes lines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._speaks = kwargs.get("unit") == "B" and "Reconstructing" in str(kwargs.get("desc"))
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        kwargs["file"] = _Silence()
        super().__init__(*args, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """tqdm draws here."""

    def update(self, n: float | None = 1) -> None:
        super().update(n)
        if self._speaks and self.total and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            log_event(logger, logging.INFO, progress_text(self.n, self.total))


class _Silence:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def progress_text(done: float, total: float) -> str:
    return f"downloading {100 * done / total:.0f}% ({done / 1e9:.1f} of {total / 1e9:.1f} GB)"
