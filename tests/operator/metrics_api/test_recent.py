import asyncio

import pytest

from octavo_operator.metrics_api.recent import Recent


class Asked:
    def __init__(self) -> None:
        self.keys: list[str] = []
        self.now = 0.0
        self.may_answer = asyncio.Event()
        self.recent = Recent(self._answer, clock=lambda: self.now)

    async def _answer(self, key: str) -> str:
        self.keys.append(key)
        await self.may_answer.wait()
        return key.upper()


async def test_who_asks_meanwhile_or_within_a_second_gets_the_same_answer() -> None:
    asked = Asked()
    both = [asyncio.create_task(asked.recent.answers(keys)) for keys in (["a", "b"], ["b", "c"])]
    await asyncio.sleep(0)
    asked.may_answer.set()
    assert await asyncio.gather(*both) == [{"a": "A", "b": "B"}, {"b": "B", "c": "C"}]
    asked.now = 0.9
    assert await asked.recent.answers(["a"]) == {"a": "A"}
    assert sorted(asked.keys) == ["a", "b", "c"]


async def test_after_a_second_it_is_asked_again_and_old_answers_are_forgotten() -> None:
    asked = Asked()
    asked.may_answer.set()
    await asked.recent.answers(["a", "b"])
    asked.now = 1.1
    await asked.recent.answers(["a"])
    assert asked.keys == ["a", "b", "a"]
    assert len(asked.recent._questions) == 1


async def test_who_stops_waiting_takes_nothing_from_the_others() -> None:
    asked = Asked()
    impatient = asyncio.create_task(asked.recent.answers(["a"]))
    patient = asyncio.create_task(asked.recent.answers(["a"]))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    asked.may_answer.set()
    assert await patient == {"a": "A"}
    assert asked.keys == ["a"]


async def test_closing_ends_what_is_under_way() -> None:
    asked = Asked()
    waiting = asyncio.create_task(asked.recent.answers(["a"]))
    await asyncio.sleep(0)
    await asked.recent.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
