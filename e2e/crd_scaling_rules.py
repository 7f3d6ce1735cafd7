"""Specs on both sides of the rules of spec.autoscaling and spec.rollout's canary."""

from typing import Any

from crd_case import Rule, spec


def autoscaling(**fields: Any) -> dict[str, Any]:
    return spec(autoscaling={"maxReplicas": 4, **fields})


def canary(*weights: int, strategy: str = "Canary", **gate: Any) -> dict[str, Any]:
    steps = {"steps": [{"weightPercent": weight} for weight in weights]} if weights else {}
    return spec(rollout={"strategy": strategy, "canary": {**steps, "gate": gate}})


SCALING_RULES = (
    Rule(
        says="minReplicas is more than maxReplicas",
        good=(autoscaling(minReplicas=4), autoscaling()),
        bad=(autoscaling(minReplicas=5),),
    ),
    Rule(
        says="scaling to zero needs both minReplicas 0 and idleSeconds",
        good=(autoscaling(minReplicas=0, idleSeconds=10),),
        bad=(
            autoscaling(minReplicas=0),
            autoscaling(idleSeconds=600),
            autoscaling(minReplicas=1, idleSeconds=10),
        ),
    ),
    Rule(
        says="spec.autoscaling.maxReplicas: Required value",
        good=(spec(autoscaling={"maxReplicas": 1}),),
        bad=(spec(autoscaling={"minReplicas": 1}),),
    ),
    Rule(
        says='supported values: "Pods", "Percent"',
        good=(
            autoscaling(
                behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
            ),
        ),
        bad=(
            autoscaling(
                behavior={"scaleUp": {"policies": [{"type": "Nodes", "value": 1, "periodSeconds": 60}]}}
            ),
        ),
    ),
    Rule(
        says="minReadySeconds must be less than progressDeadlineSeconds",
        good=(spec(rollout={"minReadySeconds": 59, "progressDeadlineSeconds": 60}),),
        bad=(spec(rollout={"minReadySeconds": 60, "progressDeadlineSeconds": 60}),),
    ),
    Rule(
        says="spec.rollout.canary is for strategy Canary",
        good=(canary(5, 50), spec(rollout={"strategy": "Replace"})),
        bad=(canary(5, strategy="Surge"),),
    ),
    Rule(
        says="the weights of a canary only rise",
        good=(canary(1, 2, 99, maxTTFTMilliseconds=1), canary(maxErrorPercent=0)),
        bad=(canary(50, 5),),
    ),
    Rule(
        says="Duplicate value",
        good=(canary(5, 6),),
        bad=(canary(5, 5),),
    ),
    Rule(
        says="weightPercent in body should be less than or equal to 99",
        good=(canary(99),),
        bad=(canary(100),),
    ),
)
