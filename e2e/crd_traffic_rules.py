"""Specs on both sides of the rules for gateway, rollout, drain and Service: how requests reach replicas."""

from typing import Any

from crd_case import Rule, spec

KEYS = {"apiKeysSecretRef": {"name": "keys"}}


def gateway(**fields: Any) -> dict[str, Any]:
    return spec(gateway=fields)


def keys(secret: str) -> dict[str, Any]:
    return {"apiKeysSecretRef": {"name": secret}}


def limit(key: str) -> dict[str, Any]:
    return {"key": key, "requestsPerMinute": 1}


TRAFFIC_RULES = (
    Rule(
        says='supported values: "PrefixAware", "LeastLoaded"',
        good=(gateway(policy="LeastLoaded"),),
        bad=(gateway(policy="RoundRobin"),),
    ),
    Rule(
        says="spec.gateway.maxQueuedRequests in body should be less than or equal to 100000",
        good=(gateway(maxQueuedRequests=0), gateway(maxQueuedRequests=100000)),
        bad=(gateway(maxQueuedRequests=100001),),
    ),
    Rule(
        says="spec.gateway.queueTimeoutSeconds in body should be less than or equal to 3600",
        good=(gateway(queueTimeoutSeconds=3600),),
        bad=(gateway(queueTimeoutSeconds=3601),),
    ),
    Rule(
        says="spec.gateway.retries in body should be less than or equal to 10",
        good=(gateway(retries=0),),
        bad=(gateway(retries=11),),
    ),
    Rule(
        says="spec.gateway.auth.apiKeysSecretRef: Required value",
        good=(gateway(auth=KEYS),),
        bad=(gateway(auth={}),),
    ),
    Rule(
        says="write the name of a Secret",
        good=(gateway(auth=keys("a-b.c")),),
        bad=(gateway(auth=keys("Keys")),),
    ),
    Rule(
        says="Secrets ending in -gateway-token are the operator's",
        good=(gateway(auth=keys("gateway-tokens")),),
        bad=(gateway(auth=keys("demo-gateway-token")),),
    ),
    Rule(
        says="a limit of one key needs keys",
        good=(
            gateway(rateLimits=[{"requestsPerMinute": 60}]),
            gateway(auth=KEYS, rateLimits=[{"requestsPerMinute": 60}, {"key": "a", "tokensPerMinute": 1}]),
        ),
        bad=(gateway(rateLimits=[{"key": "a", "tokensPerMinute": 1}]),),
    ),
    Rule(
        says="a key has two limits",
        good=(gateway(auth=KEYS, rateLimits=[limit("a"), limit("b")]),),
        bad=(
            gateway(auth=KEYS, rateLimits=[limit("a"), limit("b"), limit("a")]),
            gateway(rateLimits=[{"requestsPerMinute": 60}, {"tokensPerMinute": 60}]),
        ),
    ),
    Rule(
        says="the entry limits nothing",
        good=(gateway(rateLimits=[{"tokensPerMinute": 1000000000}]),),
        bad=(gateway(auth=KEYS, rateLimits=[{"key": "a"}]), gateway(rateLimits=[{}])),
    ),
    Rule(
        says="write the name of an entry in the Secret, not the API key",
        good=(gateway(auth=KEYS, rateLimits=[limit("team_a.b-c")]),),
        bad=(gateway(auth=KEYS, rateLimits=[limit("sk/123")]),),
    ),
    Rule(
        says="set maxSurge to 1 to add one first",
        good=(
            spec(rollout={"maxUnavailable": 0}),
            spec(rollout={"maxSurge": 0, "maxUnavailable": 1}),
        ),
        bad=(spec(rollout={"maxSurge": 0}), spec(rollout={"maxSurge": 0, "maxUnavailable": 0})),
    ),
    Rule(
        says="spec.rollout.revisionHistoryLimit in body should be less than or equal to 20",
        good=(spec(rollout={"revisionHistoryLimit": 20, "paused": True}),),
        bad=(spec(rollout={"revisionHistoryLimit": 21}),),
    ),
    Rule(
        says="spec.drain.timeoutSeconds in body should be less than or equal to 3600",
        good=(spec(drain={"timeoutSeconds": 3600}),),
        bad=(spec(drain={"timeoutSeconds": 3601}),),
    ),
    Rule(
        says="spec.drain.endpointPropagationSeconds in body should be less than or equal to 120",
        good=(spec(drain={"endpointPropagationSeconds": 0}),),
        bad=(spec(drain={"endpointPropagationSeconds": 121}),),
    ),
    Rule(
        says='supported values: "ClusterIP", "NodePort", "LoadBalancer"',
        good=(spec(service={"type": "NodePort"}),),
        bad=(spec(service={"type": "ExternalName"}),),
    ),
    Rule(
        says="spec.disruptionBudget.maxUnavailable in body should be greater than or equal to 0",
        good=(spec(disruptionBudget={"maxUnavailable": 0}),),
        bad=(spec(disruptionBudget={"maxUnavailable": -1}),),
    ),
)
