"""Engines that end, as their pods tell of it."""

from datetime import timedelta
from typing import Any

from fake_cluster import FakeCluster

from octavo_api.api_server import PODS
from octavo_operator.timestamps import timestamp


def pods_of_update(fake: FakeCluster) -> list[Any]:
    update = fake.service["status"]["rollout"]["revision"]
    return [
        pod for pod in fake.world.pods() if pod["metadata"]["labels"]["serving.octavo.dev/revision"] == update
    ]


def end_engine(fake: FakeCluster, code: int, restarts: int, *, of: int = 1) -> None:
    """Of so many pods of the asked revision, a second from now: times in a status have no fractions."""
    for pod in pods_of_update(fake)[:of]:
        at = timestamp(fake.world.now + timedelta(seconds=1))
        ended = {"exitCode": code, "reason": "Error", "message": "words of the engine", "finishedAt": at}
        state = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}
        pod["status"]["containerStatuses"] = [{"name": "engine", "restartCount": restarts} | state]
        fake.server.changed(PODS.path("team", pod["metadata"]["name"]))
