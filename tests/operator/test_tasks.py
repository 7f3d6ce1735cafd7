import asyncio

import pytest

from octavo_operator import tasks
from octavo_operator.tasks import run_together


class Parts:
    """Writes down what happens, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def lasting(self, name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append(f"{name} ended")

    async def brief(self, error: Exception | None = None) -> None:
        await asyncio.sleep(0.01)
        if error is not None:
            raise error

    async def deaf(self) -> None:
        """To the first cancellation."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self.lasting("deaf")

    def ending(self) -> None:
        self.told.append("ending")

    async def then(self) -> None:
        self.told.append("then")


async def test_when_one_ends_those_that_act_end_first() -> None:
    it = Parts()
    await run_together(
        {"worker": it.lasting("worker")},
        {"stop": it.brief(), "watch": it.lasting("watch")},
        ending=it.ending,
        then=it.then,
    )
    assert it.told == ["ending", "worker ended", "then", "watch ended"]


async def test_the_error_of_the_one_that_died_is_raised() -> None:
    it = Parts()
    with pytest.raises(RuntimeError, match="no more"):
        await run_together(
            {"worker": it.brief(RuntimeError("no more"))},
            {"watch": it.lasting("watch")},
            ending=it.ending,
            then=it.then,
        )
    assert it.told == ["ending", "then", "watch ended"]


async def test_a_part_that_loses_a_cancellation_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.05)
    it = Parts()
    await run_together({"deaf": it.deaf()}, {"stop": it.brief()}, ending=it.ending, then=it.then)
    assert it.told == ["ending", "deaf ended", "then"]
