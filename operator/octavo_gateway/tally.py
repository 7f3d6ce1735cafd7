"""What came of each revision's requests: counted once, read by Prometheus and by the operator's gate.

Plain numbers, for they are written with every request and read every second or two.
"""

from collections import Counter
from collections.abc import Container, Iterator, Mapping

from octavo_gateway.durations import FIRST_TOKEN, PER_TOKEN, Durations
from octavo_gateway.routing import BreakReason, ContinuationOutcome

FORGET_AFTER_SECONDS = 1800.0
"""Without pods and without weight for so long, a revision's numbers go: scrapers have long had the last."""
_CLIENT_LEFT = 499
_BROKEN_TRIES = ("connect", "reset", "failed")


class Tally:
    """Of one revision. "" stands for requests that no replica answered."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        """By status: what clients saw."""
        self.retries: Counter[str] = Counter()
        self.breaks: Counter[tuple[BreakReason, ContinuationOutcome]] = Counter()
        self.first_token = Durations(FIRST_TOKEN)
        """Also of streams that their clients left before it, for at least so long was it."""
        self.per_token = Durations(PER_TOKEN)
        self.gone_since: float | None = None

    @property
    def num_failed_answers(self) -> int:
        return sum(number for status, number in self.answers.items() if status >= 500)

    @property
    def num_saved(self) -> int:
        """Failures of the revision that clients did not see, for another replica took over.

        One that drains or is full fails nobody. A stream that nobody took over is among the answers, as 599.
        """
        tries = sum(self.retries[reason] for reason in _BROKEN_TRIES)
        return tries + self.breaks["broken", "continued"]

    @property
    def num_errors(self) -> int:
        return self.num_failed_answers + self.num_saved

    @property
    def num_requests(self) -> int:
        """What the revision answered or failed, which of a request that its client left nobody knows.

        How long that waited is in `first_token` where it says something: a revision that hangs has slow
        streams, and still no request by which it could pass.
        """
        return self.answers.total() - self.answers[_CLIENT_LEFT] + self.num_saved


class Tallies:
    """Owner of the tallies, by service and revision."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Tally]] = {}

    def of(self, service: str, revision: str) -> Tally:
        if (revisions := self._of.get(service)) is None:
            revisions = self._of[service] = {}
        if (tally := revisions.get(revision)) is None:
            tally = revisions[revision] = Tally()
        return tally

    def revisions(self, service: str) -> Mapping[str, Tally]:
        return self._of.get(service, {})

    def __iter__(self) -> Iterator[tuple[str, str, Tally]]:
        for service, revisions in self._of.items():
            for revision, tally in revisions.items():
                yield service, revision, tally

    def forget_all_but(self, services: Container[str]) -> None:
        self._of = {name: revisions for name, revisions in self._of.items() if name in services}

    def forget_revisions_but(self, alive: Container[tuple[str, str]], now: float) -> None:
        """Those that have been gone for long; `alive` holds pairs of service and revision."""
        for service, revisions in self._of.items():
            for revision, tally in tuple(revisions.items()):
                if not revision or (service, revision) in alive:
                    tally.gone_since = None
                elif tally.gone_since is None:
                    tally.gone_since = now
                elif now - tally.gone_since >= FORGET_AFTER_SECONDS:
                    del revisions[revision]
