"""spec.autoscaling: how many replicas, by KV cache and queues. No part of a revision."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from octavo_api.errors import InvalidSpec
from octavo_api.fields import Fields, Json

Provider = Literal["HPA", "KEDA"]
_PROVIDERS: dict[str, Provider] = {choice: choice for choice in get_args(Provider)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalingSpec:
    max_replicas: int
    min_replicas: int = 1
    provider: Provider = "HPA"
    kv_cache_percent: int = 70
    """Mean over the replicas of the KV blocks in use; those that only cache prefixes are free."""
    waiting_requests: int = 4
    """Mean over the replicas of the requests that wait, in the gateway or in the engine."""
    idle_seconds: int | None = None
    """Without a request for so long a service goes to zero; set exactly where `min_replicas` is 0."""
    scale_up: Json = field(default_factory=dict)
    scale_down: Json = field(default_factory=dict)
    """Rules as in an HPA's behavior, laid over those that the operator derives."""

    @staticmethod
    def from_fields(fields: Fields) -> "AutoscalingSpec":
        """Raises InvalidSpec."""
        targets, behavior = fields.part("targets"), fields.part("behavior")
        default = AutoscalingSpec(max_replicas=1)
        found = AutoscalingSpec(
            max_replicas=fields.required_integer("maxReplicas"),
            min_replicas=fields.integer("minReplicas", default.min_replicas),
            provider=fields.choice("provider", _PROVIDERS, default.provider),
            kv_cache_percent=targets.integer("kvCachePercent", default.kv_cache_percent),
            waiting_requests=targets.integer("waitingRequests", default.waiting_requests),
            idle_seconds=fields.optional_integer("idleSeconds"),
            scale_up=behavior.json("scaleUp"),
            scale_down=behavior.json("scaleDown"),
        )
        if found.min_replicas > found.max_replicas:
            where = fields.where("minReplicas")
            raise InvalidSpec(where, found.min_replicas, f"write at most maxReplicas ({found.max_replicas})")
        if (found.min_replicas == 0) != (found.idle_seconds is not None):
            where = fields.where("idleSeconds")
            raise InvalidSpec(where, found.idle_seconds, "set it exactly where minReplicas is 0")
        return found
