"""A request gets in, waits, or is told why not."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest

from octavo_api.spec import RateLimit
from octavo_gateway.activity import Activity
from octavo_gateway.admission import Admission, Wait
from octavo_gateway.errors import RateLimited, Unavailable
from octavo_gateway.limits import Limiter
from octavo_gateway.routing import Cost, Endpoint, Load, Service, ServicePolicy

COST = Cost(prompt_tokens=10, completion_tokens=20)
SERVICE = Service(
    name="demo",
    served_names=("tiny",),
    policy=ServicePolicy(policy="LeastLoaded", queue_timeout_seconds=5.0, max_queued=2),
    max_running_requests=2,
)


def endpoint(pod: str, revision: str = "rev1") -> Endpoint:
    return Endpoint(pod=pod, uid=f"uid-{pod}", ip="10.0.0.1", port=8000, service="demo", revision=revision)


A, B = endpoint("a"), endpoint("b", "rev2")


@dataclass
class Table:
    endpoints: tuple[Endpoint, ...] = (A,)
    service: Service = SERVICE
    limits: tuple[RateLimit, ...] = ()
    num_gateways: int = 1

    def routable(self, service: Service) -> tuple[Endpoint, ...]:
        return self.endpoints

    def current(self, service: Service) -> Service:
        return self.service

    def rate_limits(self, service: Service) -> tuple[RateLimit, ...]:
        return self.limits


@dataclass
class Recorded:
    waits: list[Wait] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def waited(self, service: str, wait: Wait) -> None:
        self.waits.append(wait)

    def refused(self, service: str, code: str) -> None:
        self.refusals.append(code)


class World:
    def __init__(self, **table: object) -> None:
        self.table = Table(**table)  # type: ignore[arg-type]
        self.load, self.recorded, self.now = Load(), Recorded(), 0.0
        self.activity = Activity(lambda: self.now)
        self.admission = Admission(
            self.table,
            self.load,
            Limiter(),
            self.recorded,
            self.activity,
            clock=lambda: self.now,
            draw=lambda: 0.0,
        )
        self.served: list[str] = []

    async def request(self, name: str, done: asyncio.Event, service: Service = SERVICE) -> Endpoint:
        async with self.admission.enter(service, "", COST) as ticket, ticket.endpoint() as chosen:
            self.served.append(name)
            await done.wait()
            return chosen

    async def start(self, *names: str) -> asyncio.Event:
        """Requests that run until the event is set."""
        done = asyncio.Event()
        self.tasks = [asyncio.create_task(self.request(name, done)) for name in names]
        await asyncio.sleep(0.001)
        return done

    def waiting(self) -> dict[str, int]:
        return {wait: number for _, wait, number in self.admission.waiting() if number}


def patient(seconds: float, **policy: object) -> Service:
    return replace(SERVICE, policy=replace(SERVICE.policy, queue_timeout_seconds=seconds, **policy))  # type: ignore[arg-type]


async def test_a_request_is_in_flight_as_long_as_its_block_runs() -> None:
    it = World()
    done = await it.start("x")
    assert it.load.in_flight(A.uid) == 1
    done.set()
    assert await it.tasks[0] == A and it.load.in_flight(A.uid) == 0
    assert it.recorded.waits == []


async def test_a_replica_gets_no_more_requests_than_it_runs_and_the_next_when_one_ends() -> None:
    it = World()
    done = await it.start("1", "2")
    later = await it.start("3", "4")
    assert it.served == ["1", "2"] and it.load.in_flight(A.uid) == 2
    assert it.waiting() == {"queued": 2} and it.recorded.waits == ["queued", "queued"]
    done.set()
    await asyncio.sleep(0.001)
    assert it.served == ["1", "2", "3", "4"] and it.load.in_flight(A.uid) == 2
    later.set()


async def test_requests_are_parked_until_a_replica_is_routable() -> None:
    it = World(endpoints=())
    done = await it.start("1", "2")
    assert it.served == [] and it.waiting() == {"parked": 2}
    it.table.endpoints = (A,)
    it.admission.wake()
    await asyncio.sleep(0.001)
    assert it.served == ["1", "2"] and it.recorded.waits == ["parked", "parked"]
    done.set()


async def test_a_parked_request_goes_by_the_weights_of_the_moment_in_which_it_goes() -> None:
    it = World(endpoints=(), service=replace(SERVICE, weights={"rev1": 100, "rev2": 0}))
    done = await it.start("1")
    it.table.service = replace(SERVICE, weights={"rev1": 0, "rev2": 100})
    it.table.endpoints = (A, B)
    it.admission.wake()
    done.set()
    assert await it.tasks[0] == B


async def test_the_line_is_bounded() -> None:
    it = World(endpoints=())
    await it.start("1", "2")
    with pytest.raises(Unavailable) as refusal:
        await it.request("3", asyncio.Event())
    assert (refusal.value.status, refusal.value.code) == (503, "queue_full")
    assert refusal.value.message == "2 requests wait for 'tiny' already; try again later"
    assert refusal.value.headers == {"retry-after": "5"} and it.recorded.refusals == ["queue_full"]


@pytest.mark.parametrize(
    ("endpoints", "code", "message"),
    [
        ((), "no_ready_replica", "no replica of 'tiny' became ready within 0.01 s"),
        ((A,), "queue_timeout", "all replicas of 'tiny' were busy for 0.01 s"),
    ],
)
async def test_who_waited_in_vain_is_told_for_what(
    endpoints: tuple[Endpoint, ...], code: str, message: str
) -> None:
    it = World(endpoints=endpoints)
    done = await it.start("1", "2") if endpoints else asyncio.Event()
    with pytest.raises(Unavailable) as refusal:
        await it.request("3", done, patient(0.01))
    assert (refusal.value.code, refusal.value.message) == (code, message)
    assert refusal.value.headers == {"retry-after": "5"} and it.recorded.refusals == [code]
    done.set()


async def test_a_retry_has_what_is_left_of_the_time_and_a_broken_stream_all_of_it() -> None:
    it = World()
    async with it.admission.enter(patient(0.05), "", COST) as ticket:
        async with ticket.endpoint():
            await asyncio.sleep(0.06)
        it.table.endpoints = ()
        started = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            async with ticket.endpoint(avoid={A}):
                raise AssertionError
        assert asyncio.get_running_loop().time() - started < 0.03
        with pytest.raises(Unavailable):
            async with ticket.endpoint(revision="rev1"):
                raise AssertionError
        assert asyncio.get_running_loop().time() - started >= 0.05


async def test_a_retry_goes_before_those_who_wait_for_their_first_replica() -> None:
    it = World(service=replace(SERVICE, max_running_requests=1))
    async with AsyncExitStack() as stack:
        ticket = await stack.enter_async_context(it.admission.enter(SERVICE, "", COST))
        async with ticket.endpoint():
            done = await it.start("new")
            retry = asyncio.create_task(stack.enter_async_context(ticket.endpoint(avoid={A})))
            await asyncio.sleep(0.001)
        assert await retry == A and it.served == []
    await asyncio.sleep(0.001)
    assert it.served == ["new"]
    done.set()


async def test_a_client_that_leaves_gives_its_place_and_its_limits_back() -> None:
    it = World(limits=(RateLimit(requests_per_minute=1),))
    await it.start("1")
    it.tasks[0].cancel()
    await asyncio.gather(*it.tasks, return_exceptions=True)
    assert it.load.in_flight(A.uid) == 0
    done = await it.start("2")
    assert it.served == ["1", "2"]
    done.set()


async def test_a_key_over_its_limit_is_refused_before_it_waits_and_settled_by_what_it_used() -> None:
    it = World(limits=(RateLimit(tokens_per_minute=30),))
    async with it.admission.enter(SERVICE, "alice", COST) as ticket:
        assert ticket.headers["x-ratelimit-remaining-tokens"] == "0"
        with pytest.raises(RateLimited):
            async with it.admission.enter(SERVICE, "alice", COST):
                raise AssertionError
        ticket.settle(prompt_tokens=0, completion_tokens=0)
    async with it.admission.enter(SERVICE, "alice", COST) as ticket:
        ticket.settle(prompt_tokens=10, completion_tokens=20)
    with pytest.raises(RateLimited):
        async with it.admission.enter(SERVICE, "alice", COST):
            raise AssertionError
    it.now = 60.0
    async with it.admission.enter(SERVICE, "alice", COST):
        pass
    assert it.recorded.refusals == ["rate_limit_exceeded"] * 2


async def test_hundreds_who_wait_share_the_places_and_none_is_given_twice() -> None:
    it = World(endpoints=(A, B), service=replace(SERVICE, max_running_requests=3))
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        service = patient(5.0, max_queued=1000)
        async with it.admission.enter(service, "", COST) as ticket, ticket.endpoint() as chosen:
            most = max(most, it.load.in_flight(chosen.uid))
            await asyncio.sleep(0)

    await asyncio.gather(*(one(number) for number in range(300)))
    assert most == 3 and it.load.in_flight(A.uid) == it.load.in_flight(B.uid) == 0


async def test_a_service_that_is_gone_leaves_no_line_once_nobody_waits() -> None:
    it = World()
    done = await it.start("1", "2")
    last = await it.start("3")
    it.admission.forget_all_but(())
    assert it.waiting() == {"queued": 1}
    done.set()
    last.set()
    await asyncio.gather(*it.tasks)
    assert it.served == ["1", "2", "3"]
    it.admission.forget_all_but(())
    assert list(it.admission.waiting()) == []


async def test_a_service_is_idle_from_the_end_of_its_last_request_on() -> None:
    it = World()
    it.activity.meet([SERVICE.name])
    it.now = 10.0
    done = await it.start("x")
    assert it.activity.idle_seconds(SERVICE.name) == 0.0
    done.set()
    await it.tasks[0]
    it.now = 12.5
    assert it.activity.idle_seconds(SERVICE.name) == 2.5
