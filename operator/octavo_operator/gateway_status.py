"""Condition GatewayReady of each service of a namespace. Pure.

The message names no number of replicas: every service of the namespace repeats it, and would be written anew
with each pod that comes or goes.
"""

from dataclasses import dataclass

from octavo_api.names import GATEWAY_NAME, LABEL_APP, Reason
from octavo_operator.gateway_seen import GatewaySeen, Neighbour
from octavo_operator.verdict import MESSAGE_LIMIT, Verdict


def gateway_ready(seen: GatewaySeen, service_name: str) -> Verdict:
    return _verdict(seen, rivals(seen).get(service_name))


def outdated(seen: GatewaySeen) -> tuple[str, ...]:
    """The services whose status says something else about the gateway than is true now."""
    found = rivals(seen)
    return tuple(
        neighbour.name
        for neighbour in seen.neighbours
        # A spec that cannot be read has no condition but Ready and Stalled.
        if neighbour.served_names and not _says(neighbour, _verdict(seen, found.get(neighbour.name)))
    )


@dataclass(frozen=True, slots=True)
class Rival:
    served_name: str
    older: str
    """The InferenceService that the name leads to."""


def rivals(seen: GatewaySeen) -> dict[str, Rival]:
    """The services that have a served name of an older one, each with the first such name."""
    taken: dict[str, str] = {}
    found: dict[str, Rival] = {}
    for neighbour in seen.neighbours:
        for name in neighbour.served_names:
            if taken.setdefault(name, neighbour.name) != neighbour.name:
                found.setdefault(neighbour.name, Rival(name, taken[name]))
    return found


def _verdict(seen: GatewaySeen, rival: Rival | None) -> Verdict:
    if seen.refused is not None:
        return seen.refused
    if rival is not None:
        return Verdict(
            "False",
            Reason.DUPLICATE_SERVED_NAME,
            f"requests for model {rival.served_name} go to InferenceService {rival.older}, which is older; "
            "change spec.model.servedNames of one of the two",
        )
    deployment = seen.deployment
    if deployment is not None and deployment.available_replicas > 0:
        return Verdict("True", Reason.GATEWAY_READY, f"Deployment {GATEWAY_NAME} takes requests")
    if deployment is not None and deployment.trouble:
        return Verdict(
            "False",
            Reason.GATEWAY_UNAVAILABLE,
            f"no replica of Deployment {GATEWAY_NAME} is available: {deployment.trouble}; "
            f"see kubectl describe pods -l {LABEL_APP}={GATEWAY_NAME}",
        )
    return Verdict(
        "Unknown", Reason.GATEWAY_STARTING, f"no replica of Deployment {GATEWAY_NAME} is available yet"
    )


def _says(neighbour: Neighbour, verdict: Verdict) -> bool:
    told = neighbour.told
    now = (verdict.status, verdict.reason, verdict.message[:MESSAGE_LIMIT])
    return told is not None and (told.status, told.reason, told.message) == now
