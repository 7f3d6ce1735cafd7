"""What the operator is told of each service's traffic: what waits, since when nobody came, and how each
revision answers. Pure; `octavo_operator.traffic` reads it.
"""

from collections.abc import Iterable
from typing import Any

from octavo_gateway.activity import Activity
from octavo_gateway.admission import Wait
from octavo_gateway.tally import Tallies, Tally


def traffic(
    services: Iterable[str], waiting: Iterable[tuple[str, Wait, int]], activity: Activity, tallies: Tallies
) -> dict[str, Any]:
    num_waiting: dict[str, int] = {}
    for service, _, number in waiting:
        num_waiting[service] = num_waiting.get(service, 0) + number
    return {
        service: {
            "waiting": num_waiting.get(service, 0),
            "idle_seconds": round(activity.idle_seconds(service), 3),
            "revisions": {
                revision: _figures(tally)
                for revision, tally in tallies.revisions(service).items()
                # Requests that no replica answered are no revision's.
                if revision
            },
        }
        for service in services
    }


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "requests": tally.num_requests,
        "errors": tally.num_errors,
        "ttft": tally.first_token.edges(),
        "tpot": tally.per_token.edges(),
    }
