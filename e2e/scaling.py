"""What a service's HPA decided, and what the metrics API said meanwhile, recorded while a story runs."""

import json
import math
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubectl import Kubectl

KV_USAGE, WAITING = "octavo_kv_cache_usage", "octavo_requests_waiting"
TOLERANCE = 0.1
"""The HPA controller's: so near the target nothing changes."""
SYNC_SECONDS = 5
"""Of the local cluster's HPA controller."""

# Short enough for a story; what the operator derives is for models that take minutes.
QUICK = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 10, "periodSeconds": 15}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "policies": [{"type": "Pods", "value": 10, "periodSeconds": 5}],
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One status of the HPA: a replica count before, one after, and the means it was made of."""

    at: float
    current: int
    desired: int
    averages: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    at: float
    values: Mapping[str, Mapping[str, float]]
    """Metric -> pod -> value; a metric that could not be read is absent."""

    def total(self, metric: str) -> float:
        return sum(self.values.get(metric, {}).values())


@dataclass
class Record:
    decisions: list[Decision] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    replicas: list[int] = field(default_factory=list)
    """spec.replicas whenever it changed."""
    policies: set[str] = field(default_factory=set)
    """scaleDown.selectPolicy, all that were seen."""

    @property
    def rises(self) -> list[Decision]:
        return [each for each in self.decisions if each.desired > each.current]

    def most(self, metric: str, before: float, seconds: float) -> float:
        """The largest sum that the API gave in that time."""
        window = [each for each in self.samples if before - seconds <= each.at <= before]
        return max((each.total(metric) for each in window), default=0.0)

    def table(self) -> str:
        start = self.decisions[0].at if self.decisions else 0.0
        return "\n".join(
            f"{each.at - start:6.1f} s  {each.current} -> {each.desired}  "
            + "  ".join(f"{name} {value:.3f}" for name, value in each.averages.items())
            for each in self.decisions
        )


def asked_for(average: float, counted: int, target: float) -> int:
    """The HPA's arithmetic for a Pods metric: the sum over the target, rounded up."""
    if abs(average / target - 1) <= TOLERANCE:
        return counted
    return math.ceil(round(average * counted / target, 6))


@contextmanager
def recorded(kubectl: Kubectl, name: str) -> Iterator[Record]:
    """Looks twice a second, through one `kubectl proxy`."""
    record, ended = Record(), threading.Event()
    with subprocess.Popen(kubectl.command("proxy", "--port=0"), stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        address = proxy.stdout.readline().rpartition(" ")[2].strip()
        looks = _Looks(f"http://{address}", str(kubectl.namespace), name)

        def look() -> None:
            while not ended.wait(0.5):
                looks.add_to(record)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield record
        finally:
            ended.set()
            thread.join()
            proxy.kill()
            print(record.table())


class _Looks:
    def __init__(self, url: str, namespace: str, name: str) -> None:
        scope = f"{url}/apis/{{}}/namespaces/{namespace}"
        pods = f"{scope.format('custom.metrics.k8s.io/v1beta2')}/pods/*"
        self._metrics = {
            metric: f"{pods}/{metric}?labelSelector=serving.octavo.dev%2Fservice%3D{name}"
            for metric in (KV_USAGE, WAITING)
        }
        self._hpa = f"{scope.format('autoscaling/v2')}/horizontalpodautoscalers/{name}"
        self._service = f"{scope.format('serving.octavo.dev/v1alpha1')}/inferenceservices/{name}"

    def add_to(self, record: Record) -> None:
        found = {metric: _get(url) for metric, url in self._metrics.items()}
        values = {
            metric: {item["describedObject"]["name"]: quantity(item["value"]) for item in answer["items"]}
            for metric, answer in found.items()
            if answer is not None
        }
        record.samples.append(Sample(at=time.monotonic(), values=values))
        if (service := _get(self._service)) is not None:
            replicas = service["spec"]["replicas"]
            if record.replicas[-1:] != [replicas]:
                record.replicas.append(replicas)
        if (hpa := _get(self._hpa)) is not None:
            record.policies.add(hpa["spec"]["behavior"]["scaleDown"]["selectPolicy"])
            self._decide(record, hpa.get("status") or {})

    def _decide(self, record: Record, status: dict[str, Any]) -> None:
        metrics = [metric["pods"] for metric in status.get("currentMetrics") or () if metric.get("pods")]
        made = Decision(
            at=time.monotonic(),
            current=status.get("currentReplicas", 0),
            desired=status.get("desiredReplicas", 0),
            averages={each["metric"]["name"]: quantity(each["current"]["averageValue"]) for each in metrics},
        )
        last = record.decisions[-1] if record.decisions else None
        if last is None or (last.current, last.desired, last.averages) != (
            made.current,
            made.desired,
            made.averages,
        ):
            record.decisions.append(made)


def _get(url: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, TimeoutError):
        return None


def quantity(text: str) -> float:
    return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
