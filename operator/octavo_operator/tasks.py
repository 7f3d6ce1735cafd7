"""The tasks of one process: they run together, and when one ends all end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping

log = logging.getLogger("octavo_operator")

CANCEL_AGAIN_SECONDS = 3.0

Named = Mapping[str, Coroutine[None, None, None]]


async def run_together(
    acting: Named, others: Named, *, ending: Callable[[], None], then: Callable[[], Awaitable[None]]
) -> None:
    """Until one ends; then `ending` is called, those that act end, `then` runs, and the others end.

    Raises the error of the one that ended by an error.
    """
    first = [asyncio.create_task(work, name=name) for name, work in acting.items()]
    everything = [*first, *(asyncio.create_task(work, name=name) for name, work in others.items())]
    try:
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        ending()
        died = [task for task in everything if task.done() and not task.cancelled() and task.exception()]
        await _end(first)
        await then()
    finally:
        await _end(everything)
    for task in died:
        error = task.exception()
        assert error is not None
        log.error("%s died: %s", task.get_name(), error)
        raise error


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Asks again those that lost a cancellation in some library."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
