"""What a look at a service's autoscaler found, as frozen values: its objects, and the demand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from octavo_api.errors import InvalidSpec
from octavo_api.quantity import parse_quantity
from octavo_operator.traffic import TrafficReport

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A condition of another controller's object."""

    status: str = ""
    reason: str = ""
    message: str = ""

    @staticmethod
    def of(status: Mapping[str, Any], type_: str) -> "Said":
        """Empty when there is none yet."""
        for item in status.get("conditions") or ():
            if item.get("type") == type_:
                words = {name: item.get(name) or "" for name in ("status", "reason", "message")}
                return Said(**words)
        return Said()


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaView:
    name: str
    able: Said = Said()
    active: Said = Said()
    limited: Said = Said()
    desired_replicas: int = 0
    averages: Mapping[str, Decimal]
    """Metric of a pod -> the mean over the pods with a sample, as the HPA saw it last."""

    @staticmethod
    def from_manifest(raw: Mapping[str, Any]) -> "HpaView":
        status = raw.get("status") or {}
        return HpaView(
            name=raw["metadata"]["name"],
            able=Said.of(status, "AbleToScale"),
            active=Said.of(status, "ScalingActive"),
            limited=Said.of(status, "ScalingLimited"),
            desired_replicas=status.get("desiredReplicas") or 0,
            averages=dict(_averages(status.get("currentMetrics") or ())),
        )


def _averages(metrics: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, Decimal]]:
    for metric in metrics:
        # One that could not be read has an empty entry.
        found = metric.get("pods") or metric.get("external") or {}
        name, value = found.get("metric", {}).get("name"), found.get("current", {}).get("averageValue")
        if name and value is not None:
            try:
                yield name, parse_quantity(str(value), field=name)
            except InvalidSpec:
                continue


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Of one service, summed over the gateways."""

    waiting: int = 0
    """Requests that wait in those gateways that answered."""
    idle_seconds: float | None = None
    """Since the last request at any gateway, 0 while one is open; None when one did not tell."""

    @staticmethod
    def of(service_name: str, traffic: Iterable[TrafficReport]) -> "Demand | None":
        """None when there is no gateway to ask."""
        told = [gateway.services for gateway in traffic]
        if not told:
            return None
        own = [services[service_name] for services in told if services and service_name in services]
        return Demand(
            waiting=sum(item.waiting for item in own),
            idle_seconds=min(item.idle_seconds for item in own) if len(own) == len(told) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerSeen:
    own: tuple[Manifest, ...] = ()
    """HorizontalPodAutoscaler and ScaledObject, as far as they exist and are ours."""
    kedas: Manifest | None = None
    """The HPA that KEDA made of our ScaledObject."""
    is_keda_served: bool = True
    """The kind ScaledObject exists; only looked for where it matters."""
    demand: Demand | None = None
    """None when the gateways were not asked, or there are none."""
    version: str = ""
    """Of the InferenceService that this look goes with: a scale that somebody else sets meanwhile stays."""

    def of_kind(self, kind: str) -> Manifest | None:
        return next((item for item in self.own if item["kind"] == kind), None)

    @property
    def hpa(self) -> HpaView | None:
        """Whoever made it."""
        raw = self.of_kind("HorizontalPodAutoscaler") or self.kedas
        return None if raw is None else HpaView.from_manifest(raw)
