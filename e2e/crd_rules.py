"""Specs on both sides of every rule of the CRD, for the story that shows them to a real API server."""

from crd_case import Rule, args, engine, env, model, spec
from crd_scaling_rules import SCALING_RULES
from crd_traffic_rules import TRAFFIC_RULES

COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
OPERATOR_ARGS = (
    "--model=x", "--served-model-name", "--host", "--port=9", "--port", "--por", "--termination-log=/tmp/x",
    "--drain-timeout-seconds=1", "--drain-propagation-seconds", "--gateway-token-file=/tmp/x", "--",
)  # fmt: skip
FIELD_ARGS = (
    "--dtype=float32", "--max-model-len", "--block-size=32", "--memory-percent", "--max-num-seqs=4",
    "--max-num-batched-tokens", "--device=cpu",
)  # fmt: skip
SECRET_KEY = {"secretKeyRef": {"name": "keys", "key": "a"}}
CONFIG_KEY = {"configMapKeyRef": {"name": "settings", "key": "a", "optional": True}}

RULES = (
    Rule(
        says="write hf://ORG/NAME, pvc://CLAIM/PATH or file:///PATH",
        good=(model(),),
        bad=(model("org/name"), model("s3://bucket/model"), model("https://huggingface.co/org/name")),
    ),
    Rule(
        says="write hf://ORG/NAME or hf://ORG/NAME@REVISION",
        good=(model("hf://org/na.me-1@refs/pr/1"), model(f"hf://org/name@{COMMIT}")),
        bad=(
            model("hf://name"),
            model("hf://org/name@"),
            model("hf://org/name/more"),
            model("hf://org/na me"),
        ),
    ),
    Rule(
        says="write pvc://CLAIM or pvc://CLAIM/PATH",
        good=(model("pvc://weights"), model("pvc://weights/"), model("pvc://weights/llama/8b")),
        bad=(model("pvc:///path"), model("pvc://Weights/path"), model("pvc://weights/a?b")),
    ),
    Rule(
        says="write file:///PATH with three slashes",
        good=(model("file:///smollm2"), model("file:///models/smol.lm_2@x")),
        bad=(model("file://smollm2"), model("file:///"), model("file:///a b")),
    ),
    Rule(
        says="remove '..'",
        good=(model("file:///a/..b"), model("pvc://weights/a..b")),
        bad=(model("file:///../etc"), model("file:///a/.."), model("pvc://weights/a/../../b")),
    ),
    Rule(
        says="only hf:// models have revisions",
        good=(model(revision="main"), model("pvc://weights/a")),
        bad=(model("pvc://weights/a", revision="main"),),
    ),
    Rule(
        says="has an @revision already",
        good=(model("hf://org/name@v1"),),
        bad=(model("hf://org/name@v1", revision="v1"),),
    ),
    Rule(
        says="write a branch, a tag or a commit",
        good=(model(revision=COMMIT),),
        bad=(model(revision="--x"), model(revision="a b")),
    ),
    Rule(
        says="only hf:// models need a token",
        good=(model(secretRef={"name": "hub"}),),
        bad=(model("file:///smollm2", secretRef={"name": "hub"}),),
    ),
    Rule(
        says="use letters, digits and ._:/-",
        good=(model(servedNames=["org/Name-1.5:latest", "b"]),),
        bad=(model(servedNames=["-x"]), model(servedNames=["$(HOME)"])),
    ),
    Rule(
        says="Duplicate value",
        good=(model(servedNames=["a", "b"]),),
        bad=(model(servedNames=["a", "a"]),),
    ),
    Rule(
        says='supported values: "Auto", "BF16", "FP16", "FP32"',
        good=(model(dtype="FP32"),),
        bad=(model(dtype="float32"),),
    ),
    Rule(
        says="should be greater than or equal to 128",
        good=(model(contextLength=128),),
        bad=(model(contextLength=127),),
    ),
    Rule(
        says="name a tag or a digest",
        good=(
            engine(image="octavo-engine:1"),
            engine(image="host:5000/a/b:1"),
            engine(image=f"a/b@sha256:{'0' * 64}"),
        ),
        bad=(engine(image="octavo-engine"), engine(image="host:5000/a/b"), engine(image="a b:1")),
    ),
    Rule(
        says='supported values: "16", "32"',
        good=(engine(kvCache={"blockSize": 32}),),
        bad=(engine(kvCache={"blockSize": 8}),),
    ),
    Rule(
        says="should be less than or equal to 97",
        good=(engine(kvCache={"memoryPercent": 97}),),
        bad=(engine(kvCache={"memoryPercent": 98}),),
    ),
    Rule(
        says="raise maxBatchedTokens to maxRunningRequests",
        good=(
            engine(scheduling={"maxBatchedTokens": 256}),
            engine(scheduling={"maxRunningRequests": 8, "maxBatchedTokens": 8}),
        ),
        bad=(
            engine(scheduling={"maxBatchedTokens": 255}),
            engine(scheduling={"maxRunningRequests": 8, "maxBatchedTokens": 7}),
        ),
    ),
    Rule(
        says="above 512 running requests set maxBatchedTokens as well",
        good=(
            engine(scheduling={"maxRunningRequests": 512}),
            engine(scheduling={"maxRunningRequests": 513, "maxBatchedTokens": 513}),
        ),
        bad=(engine(scheduling={"maxRunningRequests": 513}),),
    ),
    Rule(
        says="the operator sets --model",
        good=(args("--log-level", "debug", "--seed=7"), args("--kv-cache-memory", "x--port")),
        bad=tuple(args("--seed=1", value) for value in OPERATOR_ARGS),
    ),
    Rule(
        says="this flag has a field",
        good=(args("--kv-cache-memory=1000000"),),
        bad=tuple(args(value) for value in FIELD_ARGS),
    ),
    Rule(
        says="set value, or valueFrom",
        good=(env(value=""), env(valueFrom=SECRET_KEY), env(valueFrom=CONFIG_KEY)),
        bad=(env(), env(value="x", valueFrom=SECRET_KEY)),
    ),
    Rule(
        says="set secretKeyRef, or configMapKeyRef",
        good=(env(valueFrom=SECRET_KEY),),
        bad=(env(valueFrom={}), env(valueFrom=SECRET_KEY | CONFIG_KEY)),
    ),
    Rule(
        says="use letters, digits and underscores",
        good=(engine(env=[{"name": "OMP_NUM_THREADS", "value": "2"}]),),
        bad=(engine(env=[{"name": "A-B", "value": "2"}]),),
    ),
    Rule(
        says="the operator sets this variable",
        good=(engine(env=[{"name": "HF_HUB_ETAG_TIMEOUT", "value": "2"}]),),
        bad=tuple(
            engine(env=[{"name": name, "value": "x"}])
            for name in ("HOME", "HF_HOME", "HF_TOKEN", "HF_ENDPOINT")
        ),
    ),
    Rule(
        says="write a number of cores",
        good=(spec(resources={"cpu": 4}), spec(resources={"cpu": "500m"})),
        bad=(
            spec(resources={"cpu": 0}),
            spec(resources={"cpu": "four"}),
            spec(resources={"cpu": "-1"}),
        ),
    ),
    Rule(
        says="write a quantity with a unit, as in 16Gi",
        good=(spec(resources={"memory": "16Gi"}), spec(resources={"memory": 17179869184})),
        bad=(
            spec(resources={"memory": 16}),
            spec(resources={"memory": "16GB"}),
            spec(resources={"memory": "100m"}),
        ),
    ),
    Rule(
        says="write a quantity with a unit, as in 1Gi",
        good=(spec(resources={"sharedMemory": "1Gi"}),),
        bad=(spec(resources={"sharedMemory": 1}), spec(resources={"sharedMemory": "much"})),
    ),
    Rule(
        says="make sharedMemory smaller than memory",
        good=(spec(resources={"memory": "2Gi", "sharedMemory": "1Gi"}),),
        bad=(
            spec(resources={"memory": "2Gi", "sharedMemory": "2048Mi"}),
            spec(resources={"memory": 134217728, "sharedMemory": "1Gi"}),
        ),
    ),
    Rule(
        says="write DOMAIN/RESOURCE",
        good=(spec(accelerator={}), spec(accelerator={"resourceName": "nvidia.com/mig-1g.10gb"})),
        bad=(spec(accelerator={"resourceName": "gpu"}),),
    ),
    Rule(
        says="find the pods; choose another key",
        good=(spec(pod={"labels": {"team": "search", "app.kubernetes.io/part-of": "shop"}}),),
        bad=tuple(
            spec(pod={"labels": {key: "x"}})
            for key in (
                "serving.octavo.dev/service",
                "app.kubernetes.io/name",
                "app.kubernetes.io/managed-by",
                "pod-template-hash",
            )
        ),
    ),
    Rule(
        says="a label's value has letters, digits and ._-",
        good=(spec(pod={"labels": {"team": ""}, "nodeSelector": {"zone": "eu-west.1_a"}}),),
        bad=(spec(pod={"labels": {"team": "a b"}}), spec(pod={"nodeSelector": {"zone": "-a"}})),
    ),
    Rule(
        says="annotations below serving.octavo.dev/ are the operator's",
        good=(
            spec(
                pod={"annotations": {"example.com/a": "x"}}, service={"annotations": {"example.com/a": "x"}}
            ),
        ),
        bad=(
            spec(pod={"annotations": {"serving.octavo.dev/model-uri": "x"}}),
            spec(service={"annotations": {"serving.octavo.dev/x": "x"}}),
        ),
    ),
    Rule(
        says="spec.pod.topologySpreadConstraints[0].topologyKey: Required value",
        good=(
            spec(
                pod={
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "zone",
                            "whenUnsatisfiable": "DoNotSchedule",
                            "labelSelector": {"matchLabels": {"a": "b"}},
                        }
                    ]
                }
            ),
        ),
        bad=(
            spec(pod={"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}),
        ),
    ),
    Rule(
        says="spec.replicas in body should be greater than or equal to 0",
        good=(spec(replicas=0),),
        bad=(spec(replicas=-1),),
    ),
    Rule(says="spec.model: Required value", good=(spec(),), bad=({},)),
    Rule(says="spec.model.uri: Required value", good=(spec(),), bad=({"model": {}},)),
    *TRAFFIC_RULES,
    *SCALING_RULES,
)
