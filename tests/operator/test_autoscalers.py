"""The watch over services at zero, where one namespace's gateways misbehave."""

import asyncio
import contextlib
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from fake_world import GATEWAYS_OWNER
from operator_builders import service

from octavo_operator import autoscalers as subject
from octavo_operator.autoscalers import Autoscalers
from octavo_operator.gateway_reports import GatewayPod
from octavo_operator.observed import ObjectKey
from octavo_operator.traffic import ServiceTraffic, TrafficReport

BAD, GOOD = ObjectKey("a-bad", "demo"), ObjectKey("good", "demo")


class Pods:
    """One gateway a namespace, by its name."""

    def of(self, namespace: str, _: str) -> tuple[dict[str, Any], ...]:
        status = {"phase": "Running", "podIP": "10.0.0.1"}
        metadata = {"namespace": namespace, "name": namespace, "ownerReferences": [GATEWAYS_OWNER]}
        return ({"metadata": metadata, "status": status},)


class Gateways:
    def __init__(self) -> None:
        self.failure: Exception | None = RecursionError("too deep")

    async def ask(self, pods: tuple[GatewayPod, ...]) -> tuple[TrafficReport, ...]:
        (pod,) = pods
        if pod.name == BAD.namespace and self.failure is not None:
            raise self.failure
        services = {"demo": ServiceTraffic(waiting=1, idle_seconds=0.0)}
        return (TrafficReport(pod=pod.name, instance=pod.name, services=services),)


def sleepers(gateways: Gateways) -> Autoscalers:
    watched = Autoscalers(None, SimpleNamespace(gateway_pods=Pods()), gateways.ask)  # type: ignore[arg-type]
    to_zero = service(replicas=0, autoscaling={"minReplicas": 0, "maxReplicas": 2, "idleSeconds": 60})
    for key in (BAD, GOOD):
        watched._note_sleep(key, to_zero)
    return watched


async def test_a_namespace_that_cannot_be_looked_at_keeps_no_other_asleep_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateways, woken = Gateways(), list[ObjectKey]()
    watched = sleepers(gateways)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await watched.look_at_sleepers(woken.append)
    assert woken == [GOOD] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "a-bad: its services at zero cannot be watched; the others are"
    ]
    gateways.failure = None
    woken.clear()
    await watched.look_at_sleepers(woken.append)
    assert woken == [BAD, GOOD]
    gateways.failure = OverflowError()
    await watched.look_at_sleepers(woken.append)
    assert len(caplog.records) == 2


async def test_the_watch_outlives_what_one_namespace_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WAKE_POLL_SECONDS", 0.0)
    num_woken, has_gone_on = 0, asyncio.Event()

    def on_demand(_: ObjectKey) -> None:
        nonlocal num_woken
        num_woken += 1
        if num_woken == 3:
            has_gone_on.set()

    watch = asyncio.create_task(sleepers(Gateways()).watch_sleepers(on_demand))
    try:
        async with asyncio.timeout(5):
            await has_gone_on.wait()
        assert not watch.done()
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError, RecursionError):
            await watch
