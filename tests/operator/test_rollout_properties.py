"""Whatever users, pods and a killed operator do, in any order: no rule is broken, and it comes to rest.

RolloutWorld checks the rules at every single write: never more pods than desired + maxSurge, never fewer
available than desired - maxUnavailable because of us, no third revision, no ready pod deleted with requests.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_world import RolloutWorld

INDEX = st.integers(0, 9)
PODS = st.sets(INDEX)
ROUND = st.tuples(st.just("round"), PODS, PODS, st.none() | st.integers(0, 3))
CHANGES = st.one_of(
    st.tuples(st.just("model"), st.sampled_from("abcd")),
    st.tuples(st.just("replicas"), st.integers(0, 6)),
    st.tuples(st.just("budget"), st.sampled_from([(1, 0), (2, 0), (0, 1), (1, 1), (3, 2)])),
    st.tuples(st.just("paused"), st.booleans()),
    st.tuples(st.just("strategy"), st.sampled_from(["Auto", "Surge", "Replace"])),
    st.tuples(st.just("crash"), INDEX),
    st.tuples(st.just("lapse"), INDEX),
    st.tuples(st.just("operate"), st.none()),
    st.tuples(st.just("control")),
)
# A change, and some rounds in which the world follows it.
EVENTS = st.lists(st.tuples(CHANGES, st.lists(ROUND, max_size=5)), min_size=2, max_size=12)


def happen(world: RolloutWorld, event: tuple[Any, ...]) -> None:
    match event:
        case ("round", ready, busy, most_writes):
            world.control()
            world.run_engines(ready)
            for index in range(10):
                world.send_requests(index, index in busy)
            world.operate(most_writes)
        case ("operate", most_writes):
            world.operate(most_writes)
        case ("control",):
            world.control()
        case ("model", model):
            world.model = model
        case ("replicas", replicas):
            world.replicas = replicas
        case ("budget", (surge, unavailable)):
            world.surge, world.unavailable = surge, unavailable
        case ("paused", paused):
            world.paused = paused
        case ("strategy", strategy):
            world.strategy = strategy
        case ("crash", index):
            world.crash(index)
        case ("lapse", index):
            world.change_pod(index, ready=False, lapsed=True)


def happens(world: RolloutWorld, story: list[Any]) -> None:
    for change, rounds in story:
        for event in (change, *rounds):
            happen(world, event)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(0, 6), st.sampled_from([(1, 0), (2, 0), (0, 1), (1, 1)]), st.integers(0, 3))
def test_any_story_keeps_the_rules_and_ends_with_the_wanted_revision_alone(
    story: list[Any], replicas: int, budget: tuple[int, int], history: int
) -> None:
    world = RolloutWorld(replicas=replicas, surge=budget[0], unavailable=budget[1], history=history)
    world.settle()
    happens(world, story)
    world.paused = False
    world.settle()
    assert {pod.revision for pod in world.pods} <= {world.update}
    assert len(world.pods) == world.available == world.replicas
    # Where nothing runs nothing has proved itself: the last revision that did is kept as well.
    assert len(world.deployments) <= 1 + history + (world.replicas == 0)
    assert not world.operate(), "at rest nothing is written"


@settings(max_examples=50, deadline=None)
@given(EVENTS)
def test_paused_no_revision_starts_that_has_no_pods(story: list[Any]) -> None:
    world = RolloutWorld(replicas=3)
    world.settle()
    begun = set(world.deployments)
    for change, rounds in story:
        world.paused = True
        happens(world, [] if change[0] == "paused" else [(change, rounds)])
    assert set(world.deployments) == begun


@settings(max_examples=100, deadline=None)
@given(EVENTS, st.integers(1, 4), st.sampled_from(["Auto", "Surge", "Replace"]), ROUND)
def test_a_revision_that_cannot_run_is_given_up_for_the_last_that_did(
    story: list[Any], replicas: int, strategy: str, first: tuple[Any, ...]
) -> None:
    world = RolloutWorld(replicas=replicas, strategy=strategy)
    world.settle()
    stable = world.update
    world.model = "broken"
    world.broken = world.update
    kept = [each for each in story if each[0][0] not in ("model", "replicas", "paused")]
    happens(world, [(("control",), [first]), *kept])
    world.settle()
    assert world.record is not None and world.record.failure is not None
    assert {pod.revision for pod in world.pods} == {stable}
    assert world.available == world.replicas
    world.model = "good"
    world.settle()
    assert {pod.revision for pod in world.pods} == {world.update}
