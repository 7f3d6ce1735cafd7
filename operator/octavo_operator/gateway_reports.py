"""What a gateway's pods say about the engine pods: whom they know, who drains, what is in flight. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from octavo_api.names import GATEWAY_NAME
from octavo_operator.told_numbers import whole


@dataclass(frozen=True, slots=True)
class GatewayPod:
    """A gateway pod that runs, so that requests may pass through it."""

    name: str
    ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReport:
    uid: str
    draining: bool
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayReport:
    pod: str
    synced: bool = False
    """Its view of the pods is complete: what it does not list it will not send requests to."""
    endpoints: Mapping[str, EndpointReport] | None = None
    """By the engine pod's name; None when it did not answer."""

    @staticmethod
    def from_json(pod: str, raw: Mapping[str, Any]) -> "GatewayReport":
        """Raises KeyError, TypeError, ValueError or AttributeError for what is no such report."""
        endpoints = {
            name: EndpointReport(
                uid=str(item["uid"]), draining=item["draining"] is True, in_flight=whole(item["in_flight"])
            )
            for name, item in raw["pods"].items()
        }
        return GatewayReport(pod=pod, synced=raw["synced"] is True, endpoints=endpoints)

    def of(self, name: str, uid: str) -> EndpointReport | None:
        """Its word on this one pod, not on another that had the name before."""
        report = (self.endpoints or {}).get(name)
        return report if report is not None and report.uid == uid else None

    def has_let_go(self, name: str, uid: str) -> bool:
        """It sends the pod nothing more, and nothing of what it sent is still running."""
        if self.endpoints is None:
            return False
        report = self.of(name, uid)
        return self.synced if report is None else report.draining and report.in_flight == 0


def running_gateways(pods: Iterable[Mapping[str, Any]]) -> tuple[GatewayPod, ...]:
    """Also one that is being deleted runs until its requests have ended. One that has crashed holds none.

    A pod counts as a gateway when the gateway's ReplicaSet controls it: a label alone is set by mistake or
    copied, and such a pod would hold up drains and scaling by its silence. It keeps nobody out who may create
    pods in the namespace, for such a one may write ownerReferences too; therefore gateway_client trusts no
    answer, and what a pod says counts in its own namespace alone.
    """
    return tuple(
        GatewayPod(name=pod["metadata"]["name"], ip=pod["status"]["podIP"])
        for pod in pods
        if _is_of_gateway(pod["metadata"]) and _is_running(pod.get("status") or {})
    )


def _is_of_gateway(metadata: Mapping[str, Any]) -> bool:
    owners = metadata.get("ownerReferences") or ()
    return any(
        owner.get("controller") is True
        and owner.get("kind") == "ReplicaSet"
        and str(owner.get("name")).startswith(f"{GATEWAY_NAME}-")
        for owner in owners
    )


def _is_running(status: Mapping[str, Any]) -> bool:
    containers = status.get("containerStatuses") or ()
    has_crashed = bool(containers) and not any("running" in (item.get("state") or {}) for item in containers)
    return status.get("phase") == "Running" and bool(status.get("podIP")) and not has_crashed
