"""What each revision answered since a rollout's step began, over all gateways, their restarts included.

Kept in memory alone: after a restart of the operator a window begins anew, and with it the step's time.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from octavo_operator.observed import ObjectKey
from octavo_operator.traffic import Figures, TrafficReport, Window


class Windows:
    """Owner of the open windows, one a service."""

    def __init__(self) -> None:
        self._open: dict[ObjectKey, _OpenWindow] = {}

    def take(self, key: ObjectKey, mark: str, reports: Iterable[TrafficReport], now: datetime) -> Window:
        """The window named `mark`, with what `reports` add to it; the first call of a mark opens it."""
        window = self._open.get(key)
        if window is None or window.mark != mark:
            window = self._open[key] = _OpenWindow(mark, now)
        return window.take(key.name, tuple(reports), now)

    def forget(self, key: ObjectKey) -> None:
        self._open.pop(key, None)


class _OpenWindow:
    def __init__(self, mark: str, since: datetime) -> None:
        self.mark = mark
        self._since = since
        self._figures: dict[str, Figures] = {}
        self._seen: dict[str, Mapping[str, Figures]] = {}
        """By the gateway's instance, its counts as it told them last."""

    def take(self, service: str, reports: tuple[TrafficReport, ...], now: datetime) -> Window:
        silent = tuple(report.pod for report in reports if report.services is None)
        for report in reports:
            if report.services is not None:
                traffic = report.services.get(service)
                self._add(report, traffic.revisions if traffic is not None else {}, now)
        return Window(
            since=self._since,
            revisions=dict(self._figures),
            num_heard=len(reports) - len(silent),
            silent=silent,
        )

    def _add(self, report: TrafficReport, counts: Mapping[str, Figures], now: datetime) -> None:
        if report.instance in self._seen:
            before = self._seen[report.instance]
        else:
            is_younger = now - timedelta(seconds=report.uptime_seconds) > self._since
            # Of an older one nobody knows which of its requests came before the window.
            before = {} if is_younger else counts
        for revision, figures in counts.items():
            added = figures.since(before.get(revision, Figures()))
            self._figures[revision] = self._figures.get(revision, Figures()).plus(added)
        self._seen[report.instance] = counts
