"""The operator is killed after its n-th write, for every n of a story, and started again.

The end is the same as without a kill, no story has fewer pods available than promised, and no pod is deleted
with requests in flight.
"""

from typing import Any

import pytest
from fake_cluster import FakeCluster, Killed
from fake_world import is_draining, is_ready

Step = tuple[dict[str, Any], int | None]
"""A spec, and after how many steps of the world the next one comes; None: when all is at rest."""

A, B, C = ({"model": {"uri": f"file:///{name}"}} for name in "abc")
FIRST: Step = ({**A, "replicas": 3}, None)
STORIES: dict[str, list[Step]] = {
    "create": [],
    "rollout": [({**B, "replicas": 3}, None)],
    "superseded rollout": [({**B, "replicas": 3}, 9), ({**C, "replicas": 3}, None)],
    "rollout and back": [({**B, "replicas": 3}, 9), ({**A, "replicas": 3}, None)],
    "rollout without surge": [({**B, "replicas": 3, "rollout": {"maxSurge": 0, "maxUnavailable": 1}}, None)],
    "scale": [({**A, "replicas": 5}, 2), ({**A, "replicas": 1}, 3), ({**A, "replicas": 2}, None)],
    "to zero and back": [({**A, "replicas": 0}, None), ({**A, "replicas": 2}, None)],
}


class Story:
    def __init__(self, dies_after: int | None) -> None:
        self.fake = FakeCluster(**FIRST[0])
        self.fake.server.dies_after = dies_after
        self.fake.world.add_gateway("gateway-0")

    async def run(self, steps: list[Step]) -> None:
        await self.fake.start()
        try:
            for spec, most in (FIRST, *steps):
                self.fake.write_service(**spec)
                await self._follow(spec, most)
                self._send_requests()
        finally:
            await self.fake.stop()

    async def _follow(self, spec: dict[str, Any], most: int | None) -> None:
        rollout = spec.get("rollout", {"maxSurge": 1})
        least = spec["replicas"] - rollout.get("maxUnavailable", 0)
        for _ in range(200 if most is None else most):
            before = min(least, self.fake.world.available())
            writes, has_moved = len(self.fake.server.writes), self.fake.world.step()
            await self._visit()
            assert self.fake.world.available() >= before
            assert self.fake.world.cut == []
            if len(self.fake.server.writes) == writes and not has_moved:
                return
        assert most is not None, f"it does not come to rest: {self.fake.server.writes[-20:]}"

    async def _visit(self) -> None:
        try:
            await self.fake.visit()
        except Killed:
            self.fake.server.dies_after = None
            await self.fake.restart()
            await self.fake.visit()

    def _send_requests(self) -> None:
        """As the gateways do: to pods that are ready and do not drain."""
        pods = [pod for pod in self.fake.world.pods() if is_ready(pod) and not is_draining(pod)]
        self.fake.world.in_flight |= {
            pod["metadata"]["name"]: 1 + index % 3 for index, pod in enumerate(pods)
        }


@pytest.mark.parametrize("name", STORIES)
async def test_an_operator_killed_after_any_write_leads_to_the_same_end(name: str) -> None:
    expected = Story(None)
    await expected.run(STORIES[name])
    num_writes = len(expected.fake.server.writes)
    assert num_writes >= 4
    for number in range(num_writes):
        killed = Story(number)
        await killed.run(STORIES[name])
        assert killed.fake.end_state() == expected.fake.end_state(), f"killed after write {number}"


async def test_a_service_deleted_while_the_operator_is_down_needs_nothing_of_it() -> None:
    story = Story(None)
    await story.run([])
    before = list(story.fake.server.writes)
    story.fake.service["metadata"]["deletionTimestamp"] = "2026-11-01T12:00:00Z"
    await story.fake.restart()
    assert await story.fake.visit() is None
    await story.fake.stop()
    assert story.fake.server.writes == before
