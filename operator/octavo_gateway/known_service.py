"""An InferenceService as the gateway knows it: what the data path needs, its Secrets and its limits."""

from dataclasses import dataclass
from datetime import datetime

from octavo_api.names import GATEWAY_TOKEN_SUFFIX
from octavo_api.spec import InferenceService, RateLimit
from octavo_gateway.routing import Service, ServicePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownService:
    service: Service
    creation_timestamp: str
    is_deleting: bool = False
    keys_secret: str | None = None
    """The Secret with the clients' API keys; None: everybody may come."""
    rate_limits: tuple[RateLimit, ...] = ()

    @property
    def token_secret(self) -> str:
        return self.service.name + GATEWAY_TOKEN_SUFFIX

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the Secrets that the gateway must see for this service."""
        return frozenset(name for name in (self.token_secret, self.keys_secret) if name is not None)

    @staticmethod
    def of(spec: InferenceService) -> "KnownService":
        gateway = spec.gateway
        service = Service(
            name=spec.name,
            served_names=spec.served_names,
            policy=ServicePolicy(
                policy=gateway.policy,
                max_queued=gateway.max_queued_requests,
                queue_timeout_seconds=gateway.queue_timeout_seconds,
                retries=gateway.retries,
                has_auth=gateway.api_keys_secret is not None,
            ),
            weights={revision.name: revision.weight_percent for revision in spec.status.revisions},
            max_running_requests=spec.engine.scheduling.max_running_requests,
            created=_unix_seconds(spec.creation_timestamp),
        )
        return KnownService(
            service=service,
            creation_timestamp=spec.creation_timestamp,
            is_deleting=spec.deletion_timestamp is not None,
            keys_secret=gateway.api_keys_secret,
            rate_limits=gateway.rate_limits,
        )


def _unix_seconds(timestamp: str) -> int:
    """Of an RFC 3339 time; 0 where there is none."""
    try:
        return int(datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return 0
