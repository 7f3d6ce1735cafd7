"""A preflight as it stands in the cluster: its Job and the pods of it. What it says is read in preflight."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from octavo_api.names import LABEL_REVISION

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreflightSeen:
    job: Manifest
    pods: tuple[Manifest, ...] = ()

    @staticmethod
    def of(job: Manifest, pods: Iterable[Manifest]) -> "PreflightSeen":
        """Out of all pods of preflights; one of a namesake that was deleted does not count."""
        uid = job["metadata"]["uid"]
        return PreflightSeen(job, tuple(pod for pod in pods if _controller(pod) == uid))

    @property
    def name(self) -> str:
        return str(self.job["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.job["metadata"]["uid"])

    @property
    def revision(self) -> str:
        return str(self.job["metadata"]["labels"].get(LABEL_REVISION, ""))

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.job["metadata"]


def _controller(pod: Manifest) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)
