"""Since when nobody has asked for a service: whether its last replica may be spared."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager


class Activity:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_open: Counter[str] = Counter()
        self._idle_since: dict[str, float] = {}

    @contextmanager
    def open(self, service: str) -> Iterator[None]:
        """Around a request of a client, from the door to its end."""
        self._num_open[service] += 1
        try:
            yield
        finally:
            self._num_open[service] -= 1
            self._idle_since[service] = self._clock()

    def meet(self, services: Collection[str]) -> None:
        """The services that there are now: one that is new is idle since now, and not since we started."""
        for service in services:
            self._idle_since.setdefault(service, self._clock())
        for service in self._idle_since.keys() - set(services):
            if not self._num_open[service]:
                del self._idle_since[service], self._num_open[service]

    def idle_seconds(self, service: str) -> float:
        """0 while a request is open, and for a service that we have not met."""
        if self._num_open[service]:
            return 0.0
        now = self._clock()
        return now - self._idle_since.get(service, now)
