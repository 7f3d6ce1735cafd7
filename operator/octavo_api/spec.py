"""InferenceService as frozen values. `InferenceService.from_manifest` is the only reader of the raw object.

Defaults repeat those of the CRD's schema, where a test compares them. None means that the operator decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from octavo_api.autoscaling_spec import AutoscalingSpec
from octavo_api.errors import InvalidSpec
from octavo_api.fields import Fields, Json
from octavo_api.gateway_spec import GatewaySpec, RateLimit
from octavo_api.model_source import ClaimModel, FileModel, HubModel, ModelSource, parse_model_uri
from octavo_api.quantity import parse_quantity
from octavo_api.rollout_spec import RolloutSpec
from octavo_api.service_status import ServiceStatus

__all__ = [
    "AutoscalingSpec",
    "ClaimModel",
    "FileModel",
    "GatewaySpec",
    "HubModel",
    "InferenceService",
    "InvalidSpec",
    "ModelSource",
    "RateLimit",
    "RolloutSpec",
]

Dtype = Literal["Auto", "BF16", "FP16", "FP32"]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer"]
_DTYPES: dict[str, Dtype] = {choice: choice for choice in get_args(Dtype)}
_SERVICE_TYPES: dict[str, ServiceType] = {choice: choice for choice in get_args(ServiceType)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    uri: str
    source: ModelSource
    """`uri` and `revision` together, parsed."""
    secret_name: str | None = None
    served_names: tuple[str, ...] = ()
    """Empty: the InferenceService's own name; ask `InferenceService.served_names`."""
    dtype: Dtype = "Auto"
    context_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KVCacheSpec:
    block_size: int = 16
    memory_percent: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingSpec:
    max_running_requests: int = 256
    max_batched_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVar:
    """Either a literal `value`, or `value_from` as in a pod."""

    name: str
    value: str | None = None
    value_from: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    image: str | None = None
    kv_cache: KVCacheSpec = field(default_factory=KVCacheSpec)
    scheduling: SchedulingSpec = field(default_factory=SchedulingSpec)
    extra_args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcesSpec:
    """Quantities as the user wrote them, checked to be quantities."""

    cpu: str | None = None
    memory: str | None = None
    shared_memory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorSpec:
    """The block's presence asks for one accelerator a replica."""

    resource_name: str = "nvidia.com/gpu"
    product: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpecOverrides:
    """What goes into the engine's pods as it is; the API server checks it when the pods are made."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Json, ...] = ()
    affinity: Json = field(default_factory=dict)
    topology_spread_constraints: tuple[Json, ...] = ()
    priority_class_name: str | None = None
    service_account_name: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    runtime_class_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSpec:
    timeout_seconds: int = 300
    endpoint_propagation_seconds: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    type: ServiceType = "ClusterIP"
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionBudgetSpec:
    max_unavailable: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceService:
    namespace: str
    name: str
    uid: str
    generation: int
    model: ModelSpec
    creation_timestamp: str = ""
    """As in the metadata: RFC 3339, whole seconds."""
    deletion_timestamp: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    engine: EngineSpec = field(default_factory=EngineSpec)
    resources: ResourcesSpec = field(default_factory=ResourcesSpec)
    accelerator: AcceleratorSpec | None = None
    pod: PodSpecOverrides = field(default_factory=PodSpecOverrides)
    replicas: int = 1
    autoscaling: AutoscalingSpec | None = None
    gateway: GatewaySpec = field(default_factory=GatewaySpec)
    rollout: RolloutSpec = field(default_factory=RolloutSpec)
    drain: DrainSpec = field(default_factory=DrainSpec)
    service: ServiceSpec = field(default_factory=ServiceSpec)
    disruption_budget: DisruptionBudgetSpec = field(default_factory=DisruptionBudgetSpec)
    status: ServiceStatus = field(default_factory=ServiceStatus)

    @property
    def served_names(self) -> tuple[str, ...]:
        return self.model.served_names or (self.name,)

    @staticmethod
    def from_manifest(raw: Mapping[str, Any]) -> "InferenceService":
        """Raises InvalidSpec for what the CRD's schema should have refused."""
        meta = Fields(raw, "").part("metadata")
        spec = Fields(raw, "").part("spec")
        return InferenceService(
            namespace=meta.required_text("namespace"),
            name=meta.required_text("name"),
            uid=meta.required_text("uid"),
            generation=meta.integer("generation", 1),
            creation_timestamp=meta.text("creationTimestamp") or "",
            deletion_timestamp=meta.text("deletionTimestamp"),
            annotations=meta.text_map("annotations"),
            model=_model(spec.part("model")),
            engine=_engine(spec.part("engine")),
            resources=_resources(spec.part("resources")),
            accelerator=_accelerator(spec.part("accelerator")) if spec.has("accelerator") else None,
            pod=_pod(spec.part("pod")),
            replicas=spec.integer("replicas", 1),
            autoscaling=(
                AutoscalingSpec.from_fields(spec.part("autoscaling")) if spec.has("autoscaling") else None
            ),
            gateway=GatewaySpec.from_fields(spec.part("gateway")),
            rollout=RolloutSpec.from_fields(spec.part("rollout")),
            drain=_drain(spec.part("drain")),
            service=_service(spec.part("service")),
            disruption_budget=_disruption_budget(spec.part("disruptionBudget")),
            status=ServiceStatus.from_manifest(raw.get("status") or {}),
        )


def _model(fields: Fields) -> ModelSpec:
    uri = fields.required_text("uri")
    return ModelSpec(
        uri=uri,
        source=parse_model_uri(uri, fields.text("revision")),
        secret_name=fields.part("secretRef").text("name"),
        served_names=fields.texts("servedNames"),
        dtype=fields.choice("dtype", _DTYPES, "Auto"),
        context_length=fields.optional_integer("contextLength"),
    )


def _engine(fields: Fields) -> EngineSpec:
    kv_cache, scheduling = fields.part("kvCache"), fields.part("scheduling")
    return EngineSpec(
        image=fields.text("image"),
        kv_cache=KVCacheSpec(
            block_size=kv_cache.integer("blockSize", KVCacheSpec().block_size),
            memory_percent=kv_cache.integer("memoryPercent", KVCacheSpec().memory_percent),
        ),
        scheduling=SchedulingSpec(
            max_running_requests=scheduling.integer(
                "maxRunningRequests", SchedulingSpec().max_running_requests
            ),
            max_batched_tokens=scheduling.optional_integer("maxBatchedTokens"),
        ),
        extra_args=fields.texts("extraArgs"),
        env=tuple(_env_var(part) for part in fields.parts("env")),
    )


def _env_var(fields: Fields) -> EnvVar:
    value_from = fields.json("valueFrom")
    return EnvVar(
        name=fields.required_text("name"), value=fields.text("value"), value_from=value_from or None
    )


def _resources(fields: Fields) -> ResourcesSpec:
    return ResourcesSpec(
        cpu=_quantity(fields, "cpu"),
        memory=_quantity(fields, "memory"),
        shared_memory=_quantity(fields, "sharedMemory"),
    )


def _quantity(fields: Fields, name: str) -> str | None:
    text = fields.quantity_text(name)
    if text is not None and parse_quantity(text, field=fields.where(name)) <= 0:
        raise InvalidSpec(fields.where(name), text, "must be more than zero")
    return text


def _accelerator(fields: Fields) -> AcceleratorSpec:
    return AcceleratorSpec(
        resource_name=fields.text("resourceName") or AcceleratorSpec().resource_name,
        product=fields.text("product"),
    )


def _pod(fields: Fields) -> PodSpecOverrides:
    return PodSpecOverrides(
        node_selector=fields.text_map("nodeSelector"),
        tolerations=fields.jsons("tolerations"),
        affinity=fields.json("affinity"),
        topology_spread_constraints=fields.jsons("topologySpreadConstraints"),
        priority_class_name=fields.text("priorityClassName"),
        service_account_name=fields.text("serviceAccountName"),
        image_pull_secrets=tuple(part.required_text("name") for part in fields.parts("imagePullSecrets")),
        runtime_class_name=fields.text("runtimeClassName"),
        labels=fields.text_map("labels"),
        annotations=fields.text_map("annotations"),
    )


def _drain(fields: Fields) -> DrainSpec:
    default = DrainSpec()
    return DrainSpec(
        timeout_seconds=fields.integer("timeoutSeconds", default.timeout_seconds),
        endpoint_propagation_seconds=fields.integer(
            "endpointPropagationSeconds", default.endpoint_propagation_seconds
        ),
    )


def _service(fields: Fields) -> ServiceSpec:
    return ServiceSpec(
        type=fields.choice("type", _SERVICE_TYPES, "ClusterIP"),
        annotations=fields.text_map("annotations"),
    )


def _disruption_budget(fields: Fields) -> DisruptionBudgetSpec:
    return DisruptionBudgetSpec(
        max_unavailable=fields.integer("maxUnavailable", DisruptionBudgetSpec().max_unavailable)
    )
