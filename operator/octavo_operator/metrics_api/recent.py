"""Questions that many ask at once, put once: an HPA asks metric by metric, and many HPAs sync together."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

BELIEVED_SECONDS: Final = 1.0

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Question(Generic[Answer]):
    began: float
    task: asyncio.Task[Answer]


class Recent(Generic[Key, Answer]):
    """Owns the questions that are under way and the answers of the last second."""

    def __init__(
        self, ask: Callable[[Key], Awaitable[Answer]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._questions: dict[Key, _Question[Answer]] = {}

    async def answers(self, keys: Iterable[Key]) -> dict[Key, Answer]:
        """What `ask` raises for one of them is raised."""
        self._forget_old()
        tasks = {key: self._begun(key) for key in keys}
        if tasks:
            # Not gather: who stops waiting here would cancel the question for the others who wait for it.
            await asyncio.wait(tasks.values())
        return {key: task.result() for key, task in tasks.items()}

    async def close(self) -> None:
        tasks = [question.task for question in self._questions.values()]
        self._questions.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begun(self, key: Key) -> asyncio.Task[Answer]:
        if (question := self._questions.get(key)) is None:
            question = _Question(self._clock(), asyncio.create_task(self._asked(key)))
            self._questions[key] = question
        return question.task

    async def _asked(self, key: Key) -> Answer:
        return await self._ask(key)

    def _forget_old(self) -> None:
        oldest = self._clock() - BELIEVED_SECONDS
        for key, question in tuple(self._questions.items()):
            if question.began < oldest and question.task.done():
                del self._questions[key]
