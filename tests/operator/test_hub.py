import asyncio
from collections.abc import Callable

import pytest
from waiting import until

from octavo_api.model_source import HubModel
from octavo_api.names import Reason
from octavo_operator import hub as hub_module
from octavo_operator.hub import Hub, SecretMissing
from octavo_operator.observed import ObjectKey, Resolution, Resolved, Resolving, Unresolved

KEY = ObjectKey("team", "demo")
MODEL = HubModel(repo="org/name")
COMMIT = "a" * 40


def hub(ask: Callable[[HubModel, str | None], Resolution], told: list[ObjectKey]) -> Hub:
    async def read_token(namespace: str, name: str) -> str:
        if name == "missing":
            raise SecretMissing("Secret missing is not there")
        return f"token-of-{namespace}-{name}"

    return Hub(ask, read_token, told.append)


async def test_the_answer_comes_later_and_the_service_is_told() -> None:
    told: list[ObjectKey] = []
    asked = hub(lambda *_: Resolved(COMMIT), told)
    assert isinstance(asked.look(KEY, MODEL, None), Resolving)
    await until(lambda: told == [KEY])
    assert asked.look(KEY, MODEL, None) == Resolved(COMMIT)


async def test_a_full_commit_needs_no_question() -> None:
    asked = hub(lambda *_: pytest.fail("asked"), [])
    assert asked.look(KEY, HubModel(repo="org/name", revision=COMMIT), None) == Resolved(COMMIT)


async def test_many_services_with_one_question_ask_once() -> None:
    told: list[ObjectKey] = []
    questions: list[HubModel] = []

    def ask(model: HubModel, _: str | None) -> Resolution:
        questions.append(model)
        return Resolved(COMMIT)

    asked = hub(ask, told)
    keys = [ObjectKey("team", str(number)) for number in range(5)]
    for key in keys:
        asked.look(key, MODEL, None)
    await until(lambda: sorted(told) == keys)
    assert questions == [MODEL]


async def test_the_token_is_the_one_of_the_services_own_namespace() -> None:
    tokens: list[str | None] = []

    def ask(_: HubModel, token: str | None) -> Resolution:
        tokens.append(token)
        return Resolved(COMMIT)

    told: list[ObjectKey] = []
    hub(ask, told).look(KEY, MODEL, "hf")
    await until(lambda: bool(told))
    assert tokens == ["token-of-team-hf"]


async def test_a_missing_secret_is_a_reason_and_the_hub_is_not_asked() -> None:
    told: list[ObjectKey] = []
    asked = hub(lambda *_: pytest.fail("asked"), told)
    asked.look(KEY, MODEL, "missing")
    await until(lambda: bool(told))
    answer = asked.look(KEY, MODEL, "missing")
    assert isinstance(answer, Unresolved) and answer.reason == Reason.SECRET_NOT_FOUND


async def test_a_failure_stays_the_answer_until_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "FIRST_WAIT", 0.05)
    told: list[ObjectKey] = []
    answers: list[Resolution | Exception] = [OSError("no route"), Resolved(COMMIT)]

    def ask(*_: object) -> Resolution:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked = hub(ask, told)
    asked.look(KEY, MODEL, None)
    await until(lambda: len(told) == 1)
    first = asked.look(KEY, MODEL, None)
    assert isinstance(first, Unresolved)
    assert (first.reason, first.terminal) == (Reason.MODEL_FETCH_FAILED, False)
    await asyncio.sleep(0.06)
    assert asked.look(KEY, MODEL, None) == first
    await until(lambda: len(told) == 2)
    assert asked.look(KEY, MODEL, None) == Resolved(COMMIT)


async def test_an_error_of_the_hub_never_carries_the_token_into_a_message() -> None:
    def ask(_: HubModel, token: str | None) -> Resolution:
        raise OSError(f"bad header Bearer {token}")

    told: list[ObjectKey] = []
    asked = hub(ask, told)
    asked.look(KEY, MODEL, "hf")
    await until(lambda: bool(told))
    assert "token-of" not in str(asked.look(KEY, MODEL, "hf"))
