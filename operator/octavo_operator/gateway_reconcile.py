"""One visit to a namespace's gateway: look, decide, act, and send for the services that tell of it."""

import random
from collections.abc import Callable
from typing import Protocol

from octavo_api.api_server import ApiError
from octavo_operator.attempts import REFUSED_AGAIN_SECONDS, Outcome
from octavo_operator.gateway_plan import gateway_plan
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.gateway_status import outdated
from octavo_operator.observed import GatewayDefaults, GatewayKey, Manifest, ObjectKey
from octavo_operator.work_queue import RetryLater


class GatewayAccess(Protocol):
    defaults: GatewayDefaults

    def observe(self, namespace: str) -> GatewaySeen: ...

    async def execute(self, key: GatewayKey, manifests: tuple[Manifest, ...]) -> Outcome: ...


async def reconcile_gateway(
    key: GatewayKey, gateways: GatewayAccess, visit: Callable[[ObjectKey], None], resync_seconds: float
) -> float | None:
    """Seconds until the next visit; None when no service needs a gateway there. Raises RetryLater."""
    seen = gateways.observe(key.namespace)
    if not seen.neighbours:
        return None
    try:
        outcome = await gateways.execute(key, gateway_plan(seen, gateways.defaults))
    except ApiError as error:
        raise RetryLater(str(error), error.retry_after) from error
    for name in outdated(gateways.observe(key.namespace)):
        visit(ObjectKey(key.namespace, name))
    if outcome.retry is not None:
        raise outcome.retry
    if outcome.may_be_allowed:
        return REFUSED_AGAIN_SECONDS
    return resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311
