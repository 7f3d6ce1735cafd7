import asyncio
import io

import pytest

from octavo_engine.generate import progress
from octavo_engine.generate.progress import Counts, show_progress


def test_progress_tells_prompts_speed_and_time_left() -> None:
    counts = Counts(total=100, done=20, failed=1, tokens=500, started=10.0)
    assert counts.text(now=30.0) == "20 of 100 prompts, 25.0 tokens/s, 1 failed, 1:20 left"


def test_nothing_is_said_of_the_time_left_before_there_is_a_measure_and_at_the_end() -> None:
    assert Counts(total=2, started=0.0).text(now=5.0) == "0 of 2 prompts, 0.0 tokens/s"
    assert Counts(total=2, done=2, tokens=10, started=0.0).text(now=5.0) == "2 of 2 prompts, 2.0 tokens/s"


def test_hours_are_told_as_such() -> None:
    assert Counts(total=3, done=1, started=0.0).text(now=3000.0).endswith("1:40:00 left")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "has_bar"), [(io.StringIO(), False), (Terminal(), True)])
async def test_a_terminal_gets_a_bar_and_a_log_gets_lines(
    stream: io.StringIO, has_bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_FRAMES", 0.01)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(show_progress(Counts(total=4, done=1), stream), timeout=0.5)
    assert "1 of 4 prompts" in stream.getvalue()
    assert ("━" in stream.getvalue(), "octavo generate: 1 of 4" in stream.getvalue()) == (
        has_bar,
        not has_bar,
    )
