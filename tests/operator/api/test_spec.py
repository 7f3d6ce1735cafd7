"""An InferenceService is read whole, or refused with the field, the value and the remedy."""

from typing import Any

import pytest
from crd import sample

from octavo_api.rollout_spec import CanarySpec, CanaryStep, GateSpec
from octavo_api.spec import (
    AcceleratorSpec,
    AutoscalingSpec,
    DisruptionBudgetSpec,
    DrainSpec,
    EngineSpec,
    EnvVar,
    FileModel,
    GatewaySpec,
    HubModel,
    InferenceService,
    InvalidSpec,
    KVCacheSpec,
    ModelSpec,
    PodSpecOverrides,
    RateLimit,
    ResourcesSpec,
    RolloutSpec,
    SchedulingSpec,
    ServiceSpec,
)


def raw(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    named = {"namespace": "a", "name": "b", "uid": "u", "generation": 2}
    return {"metadata": {**named, **metadata}, "spec": {"model": {"uri": "hf://org/name"}, **spec}}


def test_the_shortest_service_reads_as_the_defaults() -> None:
    assert InferenceService.from_manifest(raw({})) == InferenceService(
        namespace="a",
        name="b",
        uid="u",
        generation=2,
        model=ModelSpec(uri="hf://org/name", source=HubModel(repo="org/name")),
    )


def test_the_age_of_a_service_is_read() -> None:
    service = InferenceService.from_manifest(raw({}, creationTimestamp="2026-11-01T10:00:00Z"))
    assert service.creation_timestamp == "2026-11-01T10:00:00Z"


def test_every_field_of_the_full_sample_is_read() -> None:
    service = InferenceService.from_manifest(sample("full"))
    revision = "0e9e39f249a16976918f6564b8830bc894c89659"
    proxy = {"secretKeyRef": {"name": "proxy", "key": "address", "optional": True}}
    assert service == InferenceService(
        namespace="default",
        name="everything",
        uid="u-1",
        generation=1,
        model=ModelSpec(
            uri="hf://meta-llama/Llama-3.1-8B-Instruct",
            source=HubModel(repo="meta-llama/Llama-3.1-8B-Instruct", revision=revision),
            secret_name="hub",
            served_names=("llama", "llama-3.1-8b"),
            dtype="BF16",
            context_length=16384,
        ),
        engine=EngineSpec(
            image="registry.example/octavo-engine:0.1.0",
            kv_cache=KVCacheSpec(block_size=32, memory_percent=92),
            scheduling=SchedulingSpec(max_running_requests=128, max_batched_tokens=2048),
            extra_args=("--log-level", "debug"),
            env=(
                EnvVar(name="OMP_NUM_THREADS", value="8"),
                EnvVar(name="HTTPS_PROXY", value_from=proxy),
            ),
        ),
        resources=ResourcesSpec(cpu="8", memory="32Gi", shared_memory="1Gi"),
        accelerator=AcceleratorSpec(resource_name="nvidia.com/gpu", product="NVIDIA-H100-80GB-HBM3"),
        pod=full_pod(),
        replicas=2,
        gateway=GatewaySpec(
            policy="LeastLoaded",
            max_queued_requests=256,
            queue_timeout_seconds=120,
            retries=3,
            api_keys_secret="llama-keys",
            rate_limits=(
                RateLimit(requests_per_minute=60, tokens_per_minute=100_000),
                RateLimit(key="search", tokens_per_minute=1_000_000),
            ),
        ),
        autoscaling=AutoscalingSpec(
            min_replicas=0,
            max_replicas=6,
            kv_cache_percent=75,
            waiting_requests=8,
            idle_seconds=1800,
            scale_up={
                "stabilizationWindowSeconds": 30,
                "selectPolicy": "Max",
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
            },
            scale_down={
                "stabilizationWindowSeconds": 900,
                "selectPolicy": "Min",
                "policies": [{"type": "Percent", "value": 50, "periodSeconds": 300}],
            },
        ),
        rollout=RolloutSpec(
            strategy="Canary",
            canary=CanarySpec(
                steps=(
                    CanaryStep(weight_percent=5, pause_seconds=600),
                    CanaryStep(weight_percent=50, pause_seconds=600),
                ),
                gate=GateSpec(
                    max_error_percent=2,
                    max_ttft_milliseconds=1500,
                    max_tpot_milliseconds=60,
                    min_requests=200,
                    regression_percent=25,
                ),
            ),
            auto_rollback=False,
            min_ready_seconds=30,
            max_surge=2,
            max_unavailable=1,
            progress_deadline_seconds=3600,
            revision_history_limit=5,
            paused=True,
        ),
        drain=DrainSpec(timeout_seconds=600, endpoint_propagation_seconds=15),
        service=ServiceSpec(type="LoadBalancer", annotations={"example.com/load-balancer": "internal"}),
        disruption_budget=DisruptionBudgetSpec(max_unavailable=2),
    )


def full_pod() -> PodSpecOverrides:
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}
    preference = {"weight": 1, "preference": {"matchExpressions": [zone]}}
    return PodSpecOverrides(
        node_selector={"kubernetes.io/arch": "amd64"},
        tolerations=({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
        affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}},
        topology_spread_constraints=(
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"serving.octavo.dev/service": "everything"}},
            },
        ),
        priority_class_name="serving",
        service_account_name="engines",
        image_pull_secrets=("registry",),
        runtime_class_name="nvidia",
        labels={"team": "search"},
        annotations={"example.com/cost-center": "42"},
    )


def test_an_accelerator_block_without_fields_asks_for_an_nvidia_gpu() -> None:
    service = InferenceService.from_manifest(raw({"accelerator": {}}))
    assert service.accelerator == AcceleratorSpec(resource_name="nvidia.com/gpu")


def test_null_reads_as_absent() -> None:
    empty = dict.fromkeys(("engine", "pod", "accelerator", "replicas", "drain"))
    assert InferenceService.from_manifest(raw(empty)) == InferenceService.from_manifest(raw({}))


def test_the_metadata_that_decides_is_read() -> None:
    service = InferenceService.from_manifest(
        raw({}, deletionTimestamp="2026-01-01T00:00:00Z", annotations={"a": "b"})
    )
    assert (service.deletion_timestamp, service.annotations) == ("2026-01-01T00:00:00Z", {"a": "b"})


def test_the_served_name_is_the_services_own_unless_given() -> None:
    file_model = ModelSpec(uri="file:///m", source=FileModel(path="m"))
    service = InferenceService(namespace="a", name="smollm2", uid="u", generation=1, model=file_model)
    assert service.served_names == ("smollm2",)
    named = raw({"model": {"uri": "file:///m", "servedNames": ["x", "y"]}})
    assert InferenceService.from_manifest(named).served_names == ("x", "y")


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        ({"model": {}}, "spec.model.uri", "is required"),
        ({"model": "hf://a/b"}, "spec.model", "write an object"),
        ({"replicas": "two"}, "spec.replicas", "write an integer"),
        ({"replicas": True}, "spec.replicas", "write an integer"),
        ({"model": {"uri": "hf://a/b", "dtype": "float32"}}, "spec.model.dtype", "Auto, BF16, FP16, FP32"),
        ({"engine": {"extraArgs": [1]}}, "spec.engine.extraArgs", "write a list of strings"),
        ({"engine": {"env": [{"name": "A"}, {}]}}, "spec.engine.env[1].name", "is required"),
        ({"pod": {"tolerations": ["x"]}}, "spec.pod.tolerations", "write a list of objects"),
        ({"resources": {"memory": "16GB"}}, "spec.resources.memory", "write a Kubernetes quantity"),
        ({"resources": {"cpu": 0}}, "spec.resources.cpu", "must be more than zero"),
        ({"service": {"type": "ExternalName"}}, "spec.service.type", "ClusterIP"),
        ({"gateway": {"policy": "RoundRobin"}}, "spec.gateway.policy", "PrefixAware, LeastLoaded"),
        ({"gateway": {"auth": {}}}, "spec.gateway.auth.apiKeysSecretRef.name", "is required"),
        (
            {"gateway": {"rateLimits": [{"key": "a"}]}},
            "spec.gateway.rateLimits[0].requestsPerMinute",
            "limits nothing",
        ),
        ({"rollout": {"paused": "yes"}}, "spec.rollout.paused", "write true or false"),
    ],
)
def test_what_the_schema_let_through_is_refused_by_its_field(
    spec: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        InferenceService.from_manifest(raw(spec))
    assert refused.value.field == field
    assert says in str(refused.value)
