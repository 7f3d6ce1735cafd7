"""A place goes to who has waited longest, and never to two."""

import asyncio
from dataclasses import dataclass, field

import pytest

from octavo_gateway.routing import Endpoint, Service
from octavo_gateway.waiting_line import LineFull, WaitingLine, Want

SERVICE = Service(name="demo", served_names=("demo",))
ANY = Want(service=SERVICE)
REV2 = Want(service=SERVICE, revision="rev2")


@dataclass
class Place:
    endpoint: Endpoint
    places: "Places"

    def release(self) -> None:
        self.places.free[self.endpoint.revision] += 1


@dataclass
class Places:
    """Free places by revision."""

    free: dict[str, int] = field(default_factory=lambda: {"rev1": 0, "rev2": 0})

    def pick(self, want: Want) -> Place | None:
        for revision in [want.revision] if want.revision else sorted(self.free):
            if self.free[revision]:
                self.free[revision] -= 1
                return Place(
                    Endpoint(pod="p", uid="u", ip="::1", port=1, service="demo", revision=revision), self
                )
        return None


class Line:
    def __init__(self) -> None:
        self.places = Places()
        self.line = WaitingLine(self.places.pick)
        self.served: list[str] = []
        self.waits = 0

    async def take(
        self,
        name: str,
        want: Want = ANY,
        *,
        seconds: float = 5.0,
        goes_first: bool = False,
        most: int | None = None,
    ) -> Place:
        place = await self.line.take(
            want,
            until=asyncio.get_running_loop().time() + seconds,
            goes_first=goes_first,
            max_waiting=most,
            on_wait=self._count,
        )
        self.served.append(name)
        assert isinstance(place, Place)
        return place

    async def waiting(self, *names: str, **options: object) -> list[asyncio.Task[Place]]:
        tasks = [asyncio.create_task(self.take(name, **options)) for name in names]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return tasks

    async def give(self, number: int, revision: str = "rev1") -> None:
        self.places.free[revision] += number
        self.line.wake()
        await asyncio.sleep(0.001)

    def _count(self) -> None:
        self.waits += 1


async def test_a_free_place_is_given_at_once() -> None:
    it = Line()
    it.places.free["rev1"] = 1
    await it.take("a")
    assert (it.served, it.waits) == (["a"], 0)


async def test_who_came_first_is_served_first() -> None:
    it = Line()
    await it.waiting("a", "b", "c")
    await it.give(2)
    assert it.served == ["a", "b"] and len(it.line) == 1 and it.waits == 3
    await it.give(1)
    assert it.served == ["a", "b", "c"]


async def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    it = Line()
    await it.waiting("a")
    it.places.free["rev1"] = 1
    await it.waiting("late")
    await asyncio.sleep(0.001)
    assert it.served == ["a"]


async def test_who_has_waited_before_goes_first() -> None:
    it = Line()
    await it.waiting("a")
    await it.waiting("again", goes_first=True)
    await it.give(1)
    assert it.served == ["again"]


async def test_who_waits_for_one_revision_holds_up_nobody() -> None:
    it = Line()
    await it.waiting("choosy", want=REV2)
    await it.waiting("a", "b")
    await it.give(1, "rev1")
    assert it.served == ["a"]
    it.places.free["rev1"] = 1
    await it.waiting("c")
    await asyncio.sleep(0.001)
    assert it.served == ["a", "b"]
    await it.give(1, "rev2")
    assert it.served == ["a", "b", "choosy"] and len(it.line) == 1


async def test_a_full_line_refuses_newcomers_but_not_who_has_waited_before() -> None:
    it = Line()
    await it.waiting("a", "b")
    with pytest.raises(LineFull):
        await it.take("c", most=2)
    await it.waiting("again", goes_first=True, most=None)
    assert len(it.line) == 3


async def test_without_a_line_only_a_free_place_helps() -> None:
    it = Line()
    with pytest.raises(LineFull):
        await it.take("a", most=0)
    it.places.free["rev1"] = 1
    await it.take("b", most=0)


async def test_patience_ends() -> None:
    it = Line()
    with pytest.raises(TimeoutError):
        await it.take("a", seconds=0.01)
    assert len(it.line) == 0


async def test_who_leaves_the_line_takes_no_place() -> None:
    it = Line()
    first, _ = await it.waiting("a", "b")
    first.cancel()
    await it.give(1)
    assert it.served == ["b"]


async def test_a_place_given_to_who_leaves_in_that_moment_is_free_again() -> None:
    it = Line()
    (task,) = await it.waiting("a")
    it.places.free["rev1"] = 1
    it.line.wake()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert it.served == [] and it.places.free["rev1"] == 1


async def test_a_place_given_to_who_leaves_in_that_moment_goes_to_the_next() -> None:
    it = Line()
    first, second = await it.waiting("a", "b")
    it.places.free["rev1"] = 1
    it.line.wake()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert it.served == ["b"] and len(it.line) == 0
