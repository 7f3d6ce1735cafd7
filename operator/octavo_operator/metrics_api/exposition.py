"""The two gauges in an engine's /metrics that autoscaling reads. Pure."""

from datetime import datetime
from statistics import fmean
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from octavo_api.names import METRIC_KV_USAGE, METRIC_WAITING
from octavo_operator.metrics_api.samples import Gauges, is_a_count

_WANTED: Final = (METRIC_KV_USAGE, METRIC_WAITING)


def read_gauges(text: str, at: datetime) -> Gauges | None:
    """None where one is missing: the engine does not serve. Raises ValueError for what is no such page.

    Several engines behind one port wait together, and are as full as their mean.
    """
    # Histograms make up most of the page, and the parser is slow.
    lines = "\n".join(line for line in text.splitlines() if line.startswith(_WANTED))
    found: dict[str, list[float]] = {name: [] for name in _WANTED}
    for family in text_string_to_metric_families(f"{lines}\n"):
        for sample in family.samples:
            if sample.name in found and is_a_count(sample.value):
                found[sample.name].append(sample.value)
    if not all(found.values()):
        return None
    return Gauges(kv_usage=fmean(found[METRIC_KV_USAGE]), waiting=sum(found[METRIC_WAITING]), at=at)
