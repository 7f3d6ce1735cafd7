"""Wait for what will soon be true, and fail when it never is."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (any condition, not one that sets an event)
            await asyncio.sleep(0.005)
