"""Which commit is hf://org/name[@revision] now? Asked in the background, and again after a failure.

A reconcile never waits for the hub: it gets the last answer, or that one is on its way, and is called again.
"""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from octavo_api.model_source import HubModel
from octavo_api.names import Reason
from octavo_operator.observed import ObjectKey, Resolution, Resolved, Resolving, Unresolved

log = logging.getLogger(__name__)

COMMIT = re.compile(r"[0-9a-f]{40}")
GOOD_FOR_SECONDS = 60.0
FIRST_WAIT, LONGEST_WAIT = 5.0, 120.0


@dataclass(frozen=True, slots=True)
class Question:
    model: HubModel
    namespace: str
    secret_name: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    resolution: Resolution
    good_until: float
    failures: int = 0


class SecretMissing(Exception):
    """The Secret that spec.model.secretRef names is not there or has no token."""


Ask = Callable[[HubModel, str | None], Resolution]
"""Blocking: model and token to resolution."""
ReadToken = Callable[[str, str], Awaitable[str]]
"""Namespace and name of a Secret to its token; raises SecretMissing."""


class Hub:
    def __init__(self, ask: Ask, read_token: ReadToken, on_answer: Callable[[ObjectKey], None]) -> None:
        self._ask = ask
        self._read_token = read_token
        self._on_answer = on_answer
        self._answers: dict[Question, Answer] = {}
        self._waiting: dict[Question, set[ObjectKey]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, key: ObjectKey, model: HubModel, secret_name: str | None) -> Resolution:
        """At once. When the answer is new, `on_answer(key)` is called later."""
        if model.revision is not None and COMMIT.fullmatch(model.revision):
            return Resolved(model.revision)
        question = Question(model, key.namespace, secret_name)
        answer = self._answers.get(question)
        if answer is None or answer.good_until < time.monotonic():
            self._ask_in_background(question, key)
        # An old failure stays the answer until there is another one: conditions must not flap.
        if answer is None or (
            isinstance(answer.resolution, Resolved) and answer.good_until < time.monotonic()
        ):
            revision = model.revision or "its main branch"
            return Resolving(f"asking the hub which commit {revision} of {model.repo} is")
        return answer.resolution

    def _ask_in_background(self, question: Question, key: ObjectKey) -> None:
        if question in self._waiting:
            self._waiting[question].add(key)
            return
        self._waiting[question] = {key}
        task = asyncio.create_task(self._find(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find(self, question: Question) -> None:
        before = self._answers.get(question)
        resolution = await self._resolution(question)
        if isinstance(resolution, Resolved):
            self._answers[question] = Answer(resolution, time.monotonic() + GOOD_FOR_SECONDS)
        else:
            failures = before.failures + 1 if before else 1
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (failures - 1))
            self._answers[question] = Answer(resolution, time.monotonic() + wait, failures)
        for key in self._waiting.pop(question):
            self._on_answer(key)

    async def _resolution(self, question: Question) -> Resolution:
        token = None
        try:
            if question.secret_name is not None:
                token = await self._read_token(question.namespace, question.secret_name)
            return await in_daemon_thread(lambda: self._ask(question.model, token))
        except SecretMissing as error:
            return Unresolved(Reason.SECRET_NOT_FOUND, str(error), terminal=False)
        except Exception as error:
            # Whatever the hub's client raises: the service's condition tells it, and it is asked again.
            log.warning("asking the hub about %s failed: %s", question.model.repo, type(error).__name__)
            message = (
                f"the hub gave no answer about {question.model.repo} ({type(error).__name__}); trying again"
            )
            return Unresolved(Reason.MODEL_FETCH_FAILED, message, terminal=False)


async def in_daemon_thread(call: Callable[[], Resolution]) -> Resolution:
    """Unlike the loop's own threads these do not hold up the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Resolution] = loop.create_future()

    def set_future(result: Resolution | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result)

    def work() -> None:
        try:
            outcome: tuple[Resolution | None, Exception | None] = (call(), None)
        except Exception as error:
            outcome = (None, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(set_future, *outcome)

    threading.Thread(target=work, name="hub", daemon=True).start()
    return await future
