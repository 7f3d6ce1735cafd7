"""Names that the operator, the engine's pods and the manifests must agree on; held by tests/contract.

Only constants belong here. The engine repeats its own (flags, exit codes, metrics) and never imports this.
"""

from enum import StrEnum
from typing import Final

GROUP: Final = "serving.octavo.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "InferenceService"
PLURAL: Final = "inferenceservices"
SHORT_NAME: Final = "infsvc"

FIELD_MANAGER: Final = "octavo-operator"
OPERATOR_NAME: Final = "octavo-operator"
"""The operator's Deployment, its ServiceAccount and its `app.kubernetes.io/name`."""
OPERATOR_NAMESPACE: Final = "octavo-system"
OPERATOR_HEALTH_PORT: Final = 8080
LEASE_NAME: Final = "octavo-operator-leader"
METRICS_API_NAME: Final = "octavo-metrics-api"
"""The Service and the Secret of our custom.metrics.k8s.io, in the operator's namespace."""
METRICS_API_PORT: Final = 6443
METRICS_API_PORT_NAME: Final = "metrics-api"

LABEL_APP: Final = "app.kubernetes.io/name"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_SERVICE: Final = f"{GROUP}/service"
LABEL_REVISION: Final = f"{GROUP}/revision"
LABEL_PREFLIGHT: Final = f"{GROUP}/preflight"
"""On a preflight's pod, the service's name: without `LABEL_SERVICE` nobody takes it for an engine."""
ENGINE_APP: Final = "octavo-engine"
GATEWAY_NAME: Final = "octavo-gateway"
"""The gateway of a namespace: its objects' name and its pods' `app.kubernetes.io/name`."""

# Annotations of the engine's Deployment: what its revision was made of, read back by a later operator.
ANNOTATION_MODEL_URI: Final = f"{GROUP}/model-uri"
ANNOTATION_MODEL_COMMIT: Final = f"{GROUP}/model-commit"
ANNOTATION_ENGINE_IMAGE: Final = f"{GROUP}/engine-image"
ANNOTATION_REVISION_INPUTS: Final = f"{GROUP}/revision-inputs"
"""The operator's defaults at the time the revision was made, as JSON: an upgraded operator keeps them."""
ANNOTATION_APPLIED_HASH: Final = f"{GROUP}/applied-hash"
"""Hash of the manifest that was applied last: equal means there is nothing to write."""

ANNOTATION_DRAINING: Final = f"{GROUP}/draining"
"""On an engine pod, the time (RFC 3339) since which it gets no new requests because it is about to go."""
ANNOTATION_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
DELETION_COST_DRAINING: Final = -1000
DELETION_COST_RELEASED: Final = -2000
"""A pod that has drained goes before one that still drains, whatever else the ReplicaSet looks at."""

CONTAINER_NAME: Final = "engine"
PORT_NAME: Final = "http"
ENGINE_PORT: Final = 8000
SERVICE_PORT: Final = 80
GATEWAY_PORT: Final = 8080
GATEWAY_TLS_PORT: Final = 8443
GATEWAY_ADMIN_PORT: Final = 8081
SERVICE_TLS_PORT: Final = 443
PORT_NAME_TLS: Final = "https"
PORT_NAME_ADMIN: Final = "admin"
ENGINE_UID: Final = 10001
MODEL_MOUNT: Final = "/model"
"""Where the folder of a pvc:// or file:// model appears in the pod, read-only."""
CACHE_MOUNT: Final = "/models"
HF_HOME: Final = f"{CACHE_MOUNT}/hf"
TERMINATION_LOG: Final = "/dev/termination-log"
TOKEN_SECRET_KEY: Final = "token"  # noqa: S105 - the key's name, not a token
GATEWAY_TOKEN_SUFFIX: Final = "-gateway-token"  # noqa: S105 - the end of a Secret's name, not a token
GATEWAY_TOKEN_MOUNT: Final = "/var/run/octavo/gateway"  # noqa: S105
GATEWAY_TLS_MOUNT: Final = "/var/run/octavo/tls"
GATEWAY_TOKEN_FLAG: Final = "--gateway-token-file"  # noqa: S105
MAX_NAME_LENGTH: Final = 40
"""Children add a dash and eight characters of hash; pods add seventeen more."""

PATH_HEALTH: Final = "/health"
PATH_READY: Final = "/ready"
PATH_METRICS: Final = "/metrics"
PATH_DRAIN: Final = "/drain"
PATH_ENDPOINTS: Final = "/endpoints"
"""Of the gateway's admin port: the engine pods it knows, which drain, and what is in flight to each."""
PATH_TRAFFIC: Final = "/traffic"
"""Of the gateway's admin port: what each service's requests wait for, and how each revision answers them."""

HEADER_TENANT: Final = "x-octavo-tenant"
HEADER_RESUMABLE: Final = "x-octavo-resumable"
HEADER_EXACTNESS: Final = "x-octavo-exactness"
HEADER_DRAINING: Final = "x-octavo-draining"
FIELD_RESUME: Final = "octavo_resume"
COMMENT_PREFIX: Final = ": octavo "
"""Begins the comment lines that an engine puts on a stream for the gateway alone."""

EXIT_CODES: Final[dict[int, str]] = {
    64: "InvalidEngineConfig",
    65: "InvalidModel",
    66: "OutOfMemory",
    67: "ModelNotFound",
    68: "ModelAuthFailed",
    69: "AcceleratorFault",
    75: "ModelFetchFailed",
}
"""What the engine's process says by its exit code; the termination message has the sentence."""

MODEL_EXIT_CODES: Final = frozenset({65, 67, 68, 75})
"""Exits that speak of the model: they belong to ModelReady, the others to EngineReady."""

# Flags of `octavo serve` that `engine.extraArgs` may not set: the first because the operator's other objects
# depend on them, the second because a field of the spec sets them.
OPERATOR_FLAGS: Final = frozenset(
    {
        "--model",
        "--served-model-name",
        "--host",
        "--port",
        "--termination-log",
        "--drain-propagation-seconds",
        "--drain-timeout-seconds",
        GATEWAY_TOKEN_FLAG,
    }
)
FIELD_FLAGS: Final[dict[str, str]] = {
    "--dtype": "spec.model.dtype",
    "--max-model-len": "spec.model.contextLength",
    "--block-size": "spec.engine.kvCache.blockSize",
    "--memory-percent": "spec.engine.kvCache.memoryPercent",
    "--max-num-seqs": "spec.engine.scheduling.maxRunningRequests",
    "--max-num-batched-tokens": "spec.engine.scheduling.maxBatchedTokens",
    "--device": "spec.accelerator",
}
OPERATOR_ENV: Final = frozenset({"HOME", "HF_HOME", "HF_TOKEN", "HF_ENDPOINT"})
"""Environment of the engine that `engine.env` may not set."""

DTYPE_FLAGS: Final[dict[str, str]] = {
    "Auto": "auto",
    "BF16": "bfloat16",
    "FP16": "float16",
    "FP32": "float32",
}
"""spec.model.dtype -> the value of --dtype."""

METRIC_RUNNING: Final = "vllm:num_requests_running"
METRIC_WAITING: Final = "vllm:num_requests_waiting"
METRIC_KV_USAGE: Final = "vllm:kv_cache_usage_perc"
METRIC_NAMES: Final = (METRIC_RUNNING, METRIC_WAITING, METRIC_KV_USAGE)
"""Gauges of the engine's /metrics that our side of the cluster reads, with labels model_name and engine."""

METRIC_HPA_KV_USAGE: Final = "octavo_kv_cache_usage"
METRIC_HPA_WAITING: Final = "octavo_requests_waiting"
"""Metrics of a pod that autoscalers ask for, whoever answers: our metrics API or an adapter."""


class ConditionType(StrEnum):
    READY = "Ready"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    MODEL_READY = "ModelReady"
    ENGINE_READY = "EngineReady"
    GATEWAY_READY = "GatewayReady"
    AUTOSCALING_ACTIVE = "AutoscalingActive"
    # True is bad; absent when all is well, because kstatus and Argo CD read False as trouble too.
    STALLED = "Stalled"
    RECONCILING = "Reconciling"


class Reason(StrEnum):
    """Reasons of conditions. Those of the engine's exits have the exit codes' names."""

    READY = "Ready"
    AVAILABLE = "Available"
    NO_READY_REPLICAS = "NoReadyReplicas"
    SCALED_TO_ZERO = "ScaledToZero"
    ROLLOUT_COMPLETE = "RolloutComplete"
    NEW_REVISION = "NewRevision"
    ROLLOUT_PAUSED = "RolloutPaused"
    SCALING = "Scaling"
    DELETING = "Deleting"
    WAITING_FOR_MODEL = "WaitingForModel"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    INVALID_SPEC = "InvalidSpec"
    ADMISSION_REFUSED = "AdmissionRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_SECURITY_REFUSED = "PodSecurityRefused"
    IMMUTABLE_CHILD_CONFLICT = "ImmutableChildConflict"
    NAME_TAKEN = "NameTaken"
    RESOLVING_MODEL = "ResolvingModel"
    MODEL_RESOLVED = "ModelResolved"
    MODEL_LOADED = "ModelLoaded"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_AUTH_FAILED = "ModelAuthFailed"
    MODEL_FETCH_FAILED = "ModelFetchFailed"
    INVALID_MODEL = "InvalidModel"
    MODEL_ROOT_NOT_CONFIGURED = "ModelRootNotConfigured"
    CLAIM_NOT_FOUND = "ClaimNotFound"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    WARMED_UP = "WarmedUp"
    LOADING_WEIGHTS = "LoadingWeights"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    POD_NOT_STARTED = "PodNotStarted"
    INVALID_ENGINE_CONFIG = "InvalidEngineConfig"
    OUT_OF_MEMORY = "OutOfMemory"
    ACCELERATOR_FAULT = "AcceleratorFault"
    CRASH_LOOP = "CrashLoop"
    PROBE_FAILING = "ProbeFailing"
    GATEWAY_READY = "GatewayReady"
    GATEWAY_STARTING = "GatewayStarting"
    GATEWAY_UNAVAILABLE = "GatewayUnavailable"
    DUPLICATE_SERVED_NAME = "DuplicateServedName"
    OPERATOR_ERROR = "OperatorError"
    PREFLIGHT = "Preflight"
    PREFLIGHT_FAILED = "PreflightFailed"
    CANARY_STEP = "CanaryStep"
    GATE_FAILED = "GateFailed"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    INSUFFICIENT_ACCELERATOR = "InsufficientAccelerator"
    SCALING_ACTIVE = "ScalingActive"
    METRICS_UNAVAILABLE = "MetricsUnavailable"
    MISSING_METRICS_API = "MissingMetricsAPI"
    SCALING_FAILED = "ScalingFailed"
    LIMITED_BY_MAXIMUM = "LimitedByMaximum"
    AUTOSCALER_STARTING = "AutoscalerStarting"
    KEDA_NOT_INSTALLED = "KEDANotInstalled"
    PROMETHEUS_NOT_CONFIGURED = "PrometheusNotConfigured"
