"""Whole manifests: what a field of the InferenceService does to the cluster is read here."""

from operator_builders import COMMIT, DEFAULTS, revision, service

from octavo_api.names import ANNOTATION_REVISION_INPUTS
from octavo_operator.observed import GatewayDefaults
from octavo_operator.render import children
from octavo_operator.render.engine_args import engine_args
from octavo_operator.render.gateway_token import token_secret
from octavo_operator.render.pod import pod_template

OWNER = {
    "apiVersion": "serving.octavo.dev/v1alpha1",
    "kind": "InferenceService",
    "name": "demo",
    "uid": "service-uid",
    "controller": True,
    "blockOwnerDeletion": True,
}
LABELS = {
    "app.kubernetes.io/name": "octavo-engine",
    "app.kubernetes.io/managed-by": "octavo-operator",
    "serving.octavo.dev/service": "demo",
}
ARGS = [
    *("serve", "--model", f"hf://org/name@{COMMIT}", "--served-model-name", "demo"),
    *("--host", "0.0.0.0", "--port", "8000", "--dtype", "auto", "--block-size", "16"),
    *("--memory-percent", "90", "--max-num-seqs", "256", "--device", "cpu"),
    *("--drain-propagation-seconds", "10", "--drain-timeout-seconds", "300"),
    *("--termination-log", "/dev/termination-log"),
    *("--gateway-token-file", "/var/run/octavo/gateway/token"),
]


def probe(path: str, period: int, failures: int) -> dict[str, object]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def test_the_smallest_service_becomes_service_budget_and_deployment() -> None:
    demo = service()
    made = revision(demo)
    hash8 = made.hash8
    service_manifest, budget, deployment = children(demo, made, 1, GatewayDefaults())
    assert service_manifest == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "team", "name": "demo", "labels": LABELS, "ownerReferences": [OWNER]},
        "spec": {
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": "octavo-gateway"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
    }
    assert budget == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"namespace": "team", "name": "demo", "labels": LABELS, "ownerReferences": [OWNER]},
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {"serving.octavo.dev/service": "demo"}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
    frozen = deployment["metadata"]["annotations"].pop(ANNOTATION_REVISION_INPUTS)
    assert frozen == made.frozen
    revision_labels = LABELS | {"serving.octavo.dev/revision": hash8}
    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "namespace": "team",
            "name": f"demo-{hash8}",
            "labels": revision_labels,
            "ownerReferences": [OWNER],
            "annotations": {
                "serving.octavo.dev/model-uri": "hf://org/name",
                "serving.octavo.dev/engine-image": "octavo/engine:1",
                "serving.octavo.dev/model-commit": COMMIT,
            },
        },
        "spec": {
            "replicas": 1,
            "selector": {
                "matchLabels": {"serving.octavo.dev/service": "demo", "serving.octavo.dev/revision": hash8}
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "minReadySeconds": 0,
            "progressDeadlineSeconds": 1800,
            "revisionHistoryLimit": 0,
            "template": {
                "metadata": {"labels": revision_labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "runAsGroup": 10001,
                        "fsGroup": 10001,
                        "fsGroupChangePolicy": "OnRootMismatch",
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "terminationGracePeriodSeconds": 325,
                    "containers": [
                        {
                            "name": "engine",
                            "image": "octavo/engine:1",
                            "args": ARGS,
                            "env": [
                                {"name": "HOME", "value": "/tmp"},
                                {"name": "HF_HOME", "value": "/models/hf"},
                            ],
                            "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
                            "resources": {},
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "startupProbe": probe("/health", 2, 300),
                            "livenessProbe": probe("/health", 10, 6),
                            "readinessProbe": probe("/ready", 2, 2),
                            "lifecycle": {
                                "preStop": {
                                    "exec": {
                                        "command": ["octavo", "drain", "--port", "8000", "--timeout", "315"]
                                    }
                                }
                            },
                            "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                            "volumeMounts": [
                                {"name": "tmp", "mountPath": "/tmp"},
                                {"name": "shm", "mountPath": "/dev/shm"},
                                {"name": "cache", "mountPath": "/models"},
                                {
                                    "name": "gateway-token",
                                    "mountPath": "/var/run/octavo/gateway",
                                    "readOnly": True,
                                },
                            ],
                        }
                    ],
                    "volumes": [
                        {"name": "tmp", "emptyDir": {}},
                        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                        {"name": "cache", "emptyDir": {}},
                        {"name": "gateway-token", "secret": {"secretName": "demo-gateway-token"}},
                    ],
                },
            },
        },
    }


def test_every_engine_field_becomes_its_flag_and_extra_args_come_last() -> None:
    demo = service(
        model={"uri": "hf://org/name", "servedNames": ["a", "b"], "dtype": "FP32", "contextLength": 2048},
        engine={
            "kvCache": {"blockSize": 32, "memoryPercent": 70},
            "scheduling": {"maxRunningRequests": 8, "maxBatchedTokens": 512},
            "extraArgs": ["--seed", "1"],
        },
        accelerator={},
        drain={"timeoutSeconds": 20, "endpointPropagationSeconds": 2},
    )
    assert engine_args(demo, COMMIT) == [
        *("serve", "--model", f"hf://org/name@{COMMIT}", "--served-model-name", "a", "b"),
        *("--host", "0.0.0.0", "--port", "8000", "--dtype", "float32", "--max-model-len", "2048"),
        *("--block-size", "32", "--memory-percent", "70", "--max-num-seqs", "8"),
        *("--max-num-batched-tokens", "512", "--device", "cuda"),
        *("--drain-propagation-seconds", "2", "--drain-timeout-seconds", "20"),
        *("--termination-log", "/dev/termination-log"),
        *("--gateway-token-file", "/var/run/octavo/gateway/token", "--seed", "1"),
    ]


def test_with_a_certificate_the_service_speaks_https_alone() -> None:
    made = children(service(), None, 1, GatewayDefaults(tls_secret="certificate"))[0]
    assert made["spec"]["ports"] == [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": "https"}]


def test_the_gateways_token_is_a_secret_that_goes_with_the_service() -> None:
    assert token_secret(service(), "random") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "namespace": "team",
            "name": "demo-gateway-token",
            "labels": LABELS,
            "ownerReferences": [OWNER],
        },
        "stringData": {"token": "random"},
    }


def test_the_grace_period_covers_propagation_drain_and_a_margin() -> None:
    demo = service(drain={"timeoutSeconds": 60, "endpointPropagationSeconds": 5})
    spec = pod_template(demo, None, DEFAULTS)["spec"]
    assert spec["terminationGracePeriodSeconds"] == 80
    assert spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1] == "70"


def test_a_claim_is_mounted_read_only_and_the_path_is_inside_it() -> None:
    demo = service(model={"uri": "pvc://weights/llama/8b"})
    spec = pod_template(demo, None, DEFAULTS)["spec"]
    assert {
        "name": "model",
        "persistentVolumeClaim": {"claimName": "weights", "readOnly": True},
    } in spec["volumes"]
    assert {"name": "model", "mountPath": "/model", "readOnly": True} in spec["containers"][0]["volumeMounts"]
    assert spec["containers"][0]["args"][2] == "/model/llama/8b"


def test_a_local_folder_is_found_below_the_mounted_root() -> None:
    demo = service(model={"uri": "file:///smollm2"})
    spec = pod_template(demo, None, DEFAULTS)["spec"]
    assert {"name": "model", "hostPath": {"path": "/srv/models", "type": "Directory"}} in spec["volumes"]
    assert {"name": "model", "mountPath": "/model", "readOnly": True} in spec["containers"][0]["volumeMounts"]
    assert spec["containers"][0]["args"][2] == "/model/smollm2"


def test_the_token_comes_from_the_secret_and_never_as_text() -> None:
    demo = service(model={"uri": "hf://org/name", "secretRef": {"name": "hf"}})
    env = pod_template(demo, COMMIT, DEFAULTS)["spec"]["containers"][0]["env"]
    token = {"secretKeyRef": {"name": "hf", "key": "token"}}
    assert env[-1] == {"name": "HF_TOKEN", "valueFrom": token}


def test_memory_is_limited_to_what_is_requested_and_an_accelerator_is_one() -> None:
    demo = service(
        resources={"cpu": 2, "memory": "4Gi", "sharedMemory": "2Gi"}, accelerator={"product": "NVIDIA-H200"}
    )
    spec = pod_template(demo, COMMIT, DEFAULTS)["spec"]
    assert spec["containers"][0]["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
    }
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H200"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["volumes"][1]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}


def test_the_pod_block_goes_into_the_pod_but_cannot_take_our_labels() -> None:
    demo = service(
        pod={
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [{"maxSkew": 1}],
            "priorityClassName": "high",
            "serviceAccountName": "reader",
            "imagePullSecrets": [{"name": "pull"}],
            "runtimeClassName": "nvidia",
            "labels": {"team": "x", "serving.octavo.dev/service": "other"},
            "annotations": {"a": "b"},
        }
    )
    template = pod_template(demo, COMMIT, DEFAULTS)
    assert template["metadata"] == {"labels": {"team": "x", **LABELS}, "annotations": {"a": "b"}}
    placement = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "priorityClassName": "high",
        "serviceAccountName": "reader",
        "imagePullSecrets": [{"name": "pull"}],
        "runtimeClassName": "nvidia",
    }
    assert {name: template["spec"].get(name) for name in placement} == placement
