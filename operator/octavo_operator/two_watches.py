"""kopf's watch of InferenceServices and our informer's: each must tell what the other has told.

kopf does not show when its watch last heard anything. So what the informer knows and kopf has not told within
some seconds is visited without it, and a watch of kopf that stays behind shows in the operator's health.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from octavo_api.informer import Informer
from octavo_api.names import PLURAL
from octavo_operator.observed import Manifest, ObjectKey

log = logging.getLogger(__name__)

PATIENCE = 10.0


@dataclass(slots=True)
class Awaited:
    """What kopf has not told of one service."""

    version: int
    since: float
    latest: int
    visit_at: float | None
    """None: the latest is visited."""


class TwoWatches:
    def __init__(
        self,
        informer: Informer,
        visit: Callable[[ObjectKey], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`visit` is called for what kopf tells, at once, and for what it should have told."""
        self._informer = informer
        self._visit = visit
        self._clock = clock
        self._told: dict[ObjectKey, int] = {}
        """By kopf. Of services that the informer knows: others are forgotten when it sees them go."""
        self._awaited: dict[ObjectKey, Awaited] = {}

    def kopf_tells(self, key: ObjectKey, version: int, *, deleted: bool = False) -> None:
        self._visit(key)
        if deleted and self._informer.get(*key) is None:
            self._forget(key)
            return
        self._told[key] = max(version, self._told.get(key, 0))
        awaited = self._awaited.pop(key, None)
        if awaited is not None and version < awaited.version:
            self._awaited[key] = awaited
        self.informer_knows(key)

    def informer_knows(self, key: ObjectKey) -> None:
        """Call it after each change that the informer tells."""
        live = self._informer.get(*key)
        if live is None:
            self._forget(key)
        elif (version := _version(live)) > self._told.get(key, 0):
            self._await(key, version, self._clock())

    def _await(self, key: ObjectKey, version: int, now: float) -> None:
        awaited = self._awaited.get(key)
        if awaited is None:
            self._awaited[key] = Awaited(version, now, latest=version, visit_at=now + PATIENCE)
        elif version > awaited.latest:
            awaited.latest = version
            if awaited.visit_at is None:
                # It has proved slow: it is waited for no longer.
                awaited.visit_at = now

    def behind(self) -> float:
        """Seconds since which kopf has owed us something; 0 when it owes nothing."""
        now = self._clock()
        return max((now - each.since for each in self._awaited.values()), default=0.0)

    @property
    def num_known(self) -> int:
        """Services of which something is kept."""
        return len(self._told.keys() | self._awaited.keys())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.help_out()
            await asyncio.sleep(PATIENCE / 5)

    def help_out(self) -> None:
        now = self._clock()
        for key, awaited in self._awaited.items():
            if awaited.visit_at is not None and now >= awaited.visit_at:
                awaited.visit_at = None
                log.warning("kopf's watch of %s is behind: %s is visited without it", PLURAL, key)
                self._visit(key)

    def _forget(self, key: ObjectKey) -> None:
        self._told.pop(key, None)
        self._awaited.pop(key, None)


def _version(item: Manifest) -> int:
    return int(item["metadata"]["resourceVersion"])
