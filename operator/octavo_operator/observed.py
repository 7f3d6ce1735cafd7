"""What a reconcile looked at: one InferenceService and its children, as frozen values.

Deciding anything belongs to plan, rollout and status.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from octavo_api.names import GATEWAY_NAME, Reason
from octavo_api.service_status import ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.autoscaler_seen import AutoscalerSeen
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import EnginePod
from octavo_operator.gateway_reports import GatewayReport
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.traffic import Window

Manifest = dict[str, Any]


class ObjectKey(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class GatewayKey(NamedTuple):
    """The gateway of a namespace, which all its services share."""

    namespace: str

    def __str__(self) -> str:
        return f"{self.namespace}/{GATEWAY_NAME}"


Key = ObjectKey | GatewayKey


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDefaults:
    """How the operator runs every namespace's gateway; a change rolls them all."""

    image: str = "octavo-operator"
    replicas: int = 2
    tls_secret: str | None = None
    """A Secret of type kubernetes.io/tls in the gateway's namespace; clients then speak HTTPS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDefaults:
    """What the operator adds to a new revision; an existing one keeps what it was made with."""

    engine_image: str
    model_root: str | None = None
    hub_endpoint: str | None = None
    prometheus_url: str | None = None
    """No part of a revision: KEDA asks it, not the engine."""
    gateway: GatewayDefaults = field(default_factory=GatewayDefaults)
    """No part of a revision."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The model can be named exactly; `commit` is None for models that are no Hub repositories."""

    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Resolving:
    message: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    reason: Reason
    message: str
    terminal: bool


Resolution = Resolved | Resolving | Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A write that the API server or our own rules refused, and that trying again at once will not change."""

    child: str
    """Kind and name, as in "Service demo"."""
    reason: Reason
    message: str
    terminal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """`service` is None when the spec cannot be read (`invalid` says why) or when there is no such object."""

    key: ObjectKey
    exists: bool
    uid: str = ""
    generation: int = 0
    deleting: bool = False
    status: ServiceStatus = field(default_factory=ServiceStatus)
    service: InferenceService | None = None
    invalid: str = ""
    resolution: Resolution = Resolved()
    deployments: tuple[EngineDeployment, ...] = ()
    others: tuple[Manifest, ...] = ()
    """The Service and the PodDisruptionBudget, as far as they exist and are ours."""
    pods: tuple[EnginePod, ...] = ()
    preflights: Mapping[str, PreflightSeen] = field(default_factory=dict)
    """By revision."""
    has_token: bool = False
    """The Secret with the token that gateways show to this service's engines exists and is ours."""
    fresh_token: str = ""
    """Random, for the case that the Secret has to be made; an input, so that plans stay repeatable."""
    gateway: GatewaySeen = field(default_factory=GatewaySeen)
    gateway_reports: tuple[GatewayReport, ...] | None = None
    """What the running gateway pods say; None when they were not asked, because nothing drains."""
    window: Window | None = None
    """What the gateways counted since the canary's step began; None where no step is under way."""
    nodes_are_coming: bool = False
    """An autoscaler of nodes has said that it gets one for a pod that waits."""
    autoscaler: AutoscalerSeen = field(default_factory=AutoscalerSeen)
    defaults: OperatorDefaults = field(default_factory=lambda: OperatorDefaults(engine_image=""))

    def pods_of(self, deployment: EngineDeployment) -> tuple[EnginePod, ...]:
        return tuple(pod for pod in self.pods if pod.revision == deployment.revision)

    def has_pods(self, deployment: EngineDeployment) -> bool:
        """Or is about to have. One that has none is history, unless it is the wanted one."""
        is_scaled = deployment.replicas > 0 or deployment.existing_replicas > 0
        return is_scaled or any(pod.is_live for pod in self.pods_of(deployment))
