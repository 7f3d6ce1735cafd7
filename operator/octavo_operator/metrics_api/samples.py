"""From what engines and gateways say to the values that an autoscaler sees. Pure.

A pod has a sample only while it serves. The HPA counts a pod without one as idle on the way up and as exactly
at its target on the way down: pods that load or drain neither set off a cascade nor let their service shrink.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from octavo_api.names import (
    ANNOTATION_DRAINING,
    LABEL_SERVICE,
    METRIC_HPA_KV_USAGE,
    METRIC_HPA_WAITING,
)
from octavo_operator.observed import Manifest
from octavo_operator.timestamps import timestamp

METRICS: Final = (METRIC_HPA_KV_USAGE, METRIC_HPA_WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePodAddress:
    """An engine pod that may serve, and so is worth a question."""

    namespace: str
    name: str
    uid: str
    ip: str
    service: str

    @staticmethod
    def from_manifest(pod: Manifest) -> "EnginePodAddress | None":
        """None for a pod that has no sample, whatever it says: it does not run, or it is about to go."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        is_going = "deletionTimestamp" in metadata or ANNOTATION_DRAINING in (
            metadata.get("annotations") or {}
        )
        if is_going or status.get("phase") != "Running" or not status.get("podIP"):
            return None
        return EnginePodAddress(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            ip=status["podIP"],
            service=metadata["labels"][LABEL_SERVICE],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What the engine of a pod says of itself while it serves."""

    kv_usage: float
    """0 to 1, without blocks that can be evicted."""
    waiting: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    namespace: str
    pod: str
    milli: int
    at: datetime


def kv_usage_samples(gauges: Mapping[EnginePodAddress, Gauges]) -> tuple[Sample, ...]:
    return tuple(_sample(pod, one, one.kv_usage) for pod, one in gauges.items())


def waiting_samples(
    gauges: Mapping[EnginePodAddress, Gauges], at_gateways: Mapping[str, int]
) -> tuple[Sample, ...]:
    """`gauges` of all serving pods of their services, `at_gateways` by service.

    A request that waits at a gateway waits for the whole service: each serving pod gets an even share of it,
    so that the mean over the pods, which is what the HPA takes, is the service's own.
    """
    num_serving = Counter(pod.service for pod in gauges)
    return tuple(
        _sample(pod, one, one.waiting + at_gateways.get(pod.service, 0) / num_serving[pod.service])
        for pod, one in gauges.items()
    )


def quantity(milli: int) -> str:
    """As Kubernetes writes it: 1400 is "1400m", 2000 is "2"."""
    whole, rest = divmod(milli, 1000)
    return f"{milli}m" if rest else str(whole)


def is_a_count(value: float) -> bool:
    """What a gauge of ours can be. The exposition format also knows NaN and infinities."""
    return math.isfinite(value) and value >= 0


def metric_value(metric: str, sample: Sample) -> dict[str, Any]:
    """An item of a MetricValueList."""
    return {
        "describedObject": {
            "kind": "Pod",
            "namespace": sample.namespace,
            "name": sample.pod,
            "apiVersion": "/v1",
        },
        "metric": {"name": metric, "selector": None},
        "timestamp": timestamp(sample.at),
        "value": quantity(sample.milli),
    }


def _sample(pod: EnginePodAddress, gauges: Gauges, value: float) -> Sample:
    return Sample(namespace=pod.namespace, pod=pod.name, milli=round(value * 1000), at=gauges.at)
