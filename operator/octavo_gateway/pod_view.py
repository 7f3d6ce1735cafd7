"""What the gateway reads of a pod: where it is, whose it is, and whether it may get requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from octavo_api.names import (
    ANNOTATION_DRAINING,
    ENGINE_APP,
    ENGINE_PORT,
    GATEWAY_NAME,
    LABEL_APP,
    LABEL_REVISION,
    LABEL_SERVICE,
)
from octavo_gateway.routing import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """An engine pod or a gateway pod of the namespace."""

    name: str
    uid: str
    app: str
    service: str = ""
    revision: str = ""
    ip: str = ""
    ready_since: str = ""
    """lastTransitionTime of the Ready condition; "" while it is not true."""
    is_ready: bool = False
    is_leaving: bool = False
    """Annotated to drain, or being deleted."""

    @property
    def is_engine(self) -> bool:
        return self.app == ENGINE_APP

    @property
    def is_ready_gateway(self) -> bool:
        return self.app == GATEWAY_NAME and self.is_ready and not self.is_leaving

    @property
    def endpoint(self) -> Endpoint | None:
        """None: it gets no new requests."""
        if not (self.is_engine and self.is_ready and self.ip) or self.is_leaving:
            return None
        return Endpoint(
            pod=self.name,
            uid=self.uid,
            ip=self.ip,
            port=ENGINE_PORT,
            service=self.service,
            revision=self.revision,
            ready_since=self.ready_since,
        )

    @staticmethod
    def from_manifest(raw: Mapping[str, Any]) -> "PodView":
        metadata, status = raw["metadata"], raw.get("status") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        ready = next(
            (
                condition
                for condition in status.get("conditions") or ()
                if condition.get("type") == "Ready" and condition.get("status") == "True"
            ),
            None,
        )
        return PodView(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            app=labels.get(LABEL_APP, ""),
            service=labels.get(LABEL_SERVICE, ""),
            revision=labels.get(LABEL_REVISION, ""),
            ip=status.get("podIP") or "",
            ready_since=(ready or {}).get("lastTransitionTime") or "",
            is_ready=ready is not None,
            is_leaving=ANNOTATION_DRAINING in annotations or "deletionTimestamp" in metadata,
        )
