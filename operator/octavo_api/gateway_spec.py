"""spec.gateway: how the namespace's gateway treats one service's requests. A change makes no new revision."""

from dataclasses import dataclass
from typing import Literal, get_args

from octavo_api.errors import InvalidSpec
from octavo_api.fields import Fields

RoutingPolicy = Literal["PrefixAware", "LeastLoaded"]
_POLICIES: dict[str, RoutingPolicy] = {choice: choice for choice in get_args(RoutingPolicy)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """At least one of the two numbers is set."""

    key: str | None = None
    """The client's entry in the Secret of API keys. None: each client without a limit of its own, or all
    together where there are no keys."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySpec:
    policy: RoutingPolicy = "PrefixAware"
    max_queued_requests: int = 1024
    """In each gateway pod."""
    queue_timeout_seconds: int = 60
    retries: int = 2
    api_keys_secret: str | None = None
    """None: everybody is served."""
    rate_limits: tuple[RateLimit, ...] = ()

    @staticmethod
    def from_fields(fields: Fields) -> "GatewaySpec":
        """Raises InvalidSpec."""
        default = GatewaySpec()
        return GatewaySpec(
            policy=fields.choice("policy", _POLICIES, default.policy),
            max_queued_requests=fields.integer("maxQueuedRequests", default.max_queued_requests),
            queue_timeout_seconds=fields.integer("queueTimeoutSeconds", default.queue_timeout_seconds),
            retries=fields.integer("retries", default.retries),
            api_keys_secret=_api_keys_secret(fields),
            rate_limits=tuple(_rate_limit(part) for part in fields.parts("rateLimits")),
        )


def _api_keys_secret(fields: Fields) -> str | None:
    """An `auth` block without the Secret must not read as "no keys asked for"."""
    if not fields.has("auth"):
        return None
    return fields.part("auth").part("apiKeysSecretRef").required_text("name")


def _rate_limit(fields: Fields) -> RateLimit:
    limit = RateLimit(
        key=fields.text("key"),
        requests_per_minute=fields.optional_integer("requestsPerMinute"),
        tokens_per_minute=fields.optional_integer("tokensPerMinute"),
    )
    if limit.requests_per_minute is None and limit.tokens_per_minute is None:
        where = fields.where("requestsPerMinute")
        raise InvalidSpec(where, None, "the entry limits nothing; set it, or tokensPerMinute")
    return limit
