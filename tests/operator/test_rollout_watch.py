"""News of new nodes, as autoscalers of nodes tell it in events about a pod."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from operator_builders import NOW, pod, revision, service

from octavo_api.api_server import Resource
from octavo_operator.engine_pod import EnginePod
from octavo_operator.observed import ObjectKey
from octavo_operator.rollout_watch import RolloutWatch

KEY = ObjectKey("team", "demo")
HASH8 = revision(service()).hash8
WORDS = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
WAITING = replace(pod(HASH8), unschedulable=WORDS, accelerators={"nvidia.com/gpu": 1})


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event(reason: str = "TriggeredScaleUp", **times: Any) -> dict[str, Any]:
    """With all times null that are not given, as the API server writes it."""
    empty = {"firstTimestamp": None, "lastTimestamp": None, "eventTime": None}
    made = times.pop("made", ago(60))
    return {"reason": reason, "metadata": {"creationTimestamp": made}, **empty, **times}


class Events:
    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events
        self.asked: list[str] = []

    async def list_page(
        self, resource: Resource, namespace: str, query: Mapping[str, str]
    ) -> Mapping[str, Any]:
        self.asked.append(f"{resource.plural} {namespace} {query['fieldSelector']}")
        return {"items": list(self._events)}


async def are_coming(events: Events, *pods: EnginePod) -> bool:
    watch = RolloutWatch(events, None, None)  # type: ignore[arg-type]
    return await watch.nodes_are_coming(KEY, pods, NOW)


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": ago(9)},
        {"eventTime": ago(9)},
        {"made": ago(9)},
        {"eventTime": ago(60), "series": {"count": 2, "lastObservedTime": ago(9)}},
        {"firstTimestamp": ago(60), "lastTimestamp": ago(9)},
        {"lastTimestamp": ago(-1)},
    ],
)
async def test_an_autoscaler_that_said_lately_that_it_gets_a_node_is_believed(times: dict[str, Any]) -> None:
    events = Events(event("FailedScheduling", lastTimestamp=ago(0)), event(**times))
    assert await are_coming(events, WAITING)
    assert events.asked == ["events team involvedObject.kind=Pod,involvedObject.name=demo-x"]
    assert await are_coming(Events(event("Nominated", **times)), WAITING)


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": ago(10)},
        {"eventTime": ago(11)},
        {"eventTime": ago(60), "series": {"count": 2, "lastObservedTime": ago(10)}},
        {"firstTimestamp": ago(60), "lastTimestamp": ago(59)},
        {"eventTime": ago(60), "series": None},
        {},
    ],
)
async def test_a_node_that_was_promised_long_ago_is_not_waited_for(times: dict[str, Any]) -> None:
    events = Events(event(**times), event("FailedScheduling", lastTimestamp=ago(0)))
    assert not await are_coming(events, WAITING)


async def test_nobody_is_asked_while_no_pod_lacks_an_accelerator() -> None:
    events = Events(event(lastTimestamp=ago(1)))
    assert not await are_coming(events, replace(WAITING, unschedulable=""))
    assert events.asked == []
