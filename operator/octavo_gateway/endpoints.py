"""The routing table, kept current by watches; while the API server is away its last state stands.

Events only mark the table as old; it is made anew once they have all been taken, at the next turn of the
event loop. Whoever asks gets one consistent moment.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from octavo_api.api_server import INFERENCE_SERVICES, PODS, Manifest
from octavo_api.errors import InvalidSpec
from octavo_api.informer import Informer, ListWatch
from octavo_api.names import ENGINE_APP, GATEWAY_NAME, LABEL_APP, TOKEN_SECRET_KEY
from octavo_api.spec import InferenceService, RateLimit
from octavo_gateway.known_service import KnownService
from octavo_gateway.pod_view import PodView
from octavo_gateway.routing import Endpoint, Service
from octavo_gateway.routing_table import RoutingTable
from octavo_gateway.watched_secrets import WatchedSecrets

log = logging.getLogger(__name__)

OUR_PODS = f"{LABEL_APP} in ({ENGINE_APP},{GATEWAY_NAME})"
WAIT_FOR_SECRETS_SECONDS = 5.0
"""A Secret that is absent, or that our role does not allow yet, keeps its own service waiting alone."""


class Endpoints:
    """`on_table` is called after each change of the table."""

    def __init__(
        self, server: ListWatch, namespace: str, *, wait_for_secrets: float = WAIT_FOR_SECRETS_SECONDS
    ) -> None:
        self.table = RoutingTable()
        self.on_table: list[Callable[[], None]] = []
        self._wait_for_secrets = wait_for_secrets
        self._known: dict[str, KnownService] = {}
        self._unreadable: dict[str, str] = {}
        self._pods: dict[str, PodView] = {}
        self._is_old = False
        self._is_ready = False
        self._services_watch = Informer(
            server, INFERENCE_SERVICES, namespace=namespace, on_change=self._take_service
        )
        self._pods_watch = Informer(
            server, PODS, namespace=namespace, label_selector=OUR_PODS, on_change=self._take_pod
        )
        self.secrets = WatchedSecrets(server, namespace, self._mark_old)

    @property
    def is_synced(self) -> bool:
        """Services and pods have been listed: a pod that is not in the table then does not exist for us."""
        return self._services_watch.synced.is_set() and self._pods_watch.synced.is_set() and not self._is_old

    @property
    def is_ready(self) -> bool:
        """Synced once, Secrets too. It stays true: an old table is better than none."""
        return self._is_ready

    @property
    def informers(self) -> tuple[Informer, ...]:
        return self._services_watch, self._pods_watch, *self.secrets.informers

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._services_watch.run(), name="watch of services")
                group.create_task(self._pods_watch.run(), name="watch of pods")
                group.create_task(self._become_ready(), name="first look")
        finally:
            await self.secrets.close()

    async def _become_ready(self) -> None:
        await self._services_watch.synced.wait()
        await self._pods_watch.synced.wait()
        self._renew()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_for_secrets):
                for informer in self.secrets.informers:
                    await informer.synced.wait()
        self._is_ready = True
        log.info("ready: %d services, %d engine pods", len(self.table.services), len(self.table.engines))

    def service_for(self, model: str, host: str) -> Service | None:
        return self.table.service_for(model, host)

    def models(self, host: str) -> tuple[tuple[str, Service], ...]:
        return self.table.models(host)

    def routable(self, service: Service) -> tuple[Endpoint, ...]:
        return self.table.endpoints.get(service.name, ())

    def token(self, service: Service) -> str:
        return self.table.tokens.get(service.name, "")

    @property
    def num_gateways(self) -> int:
        return self.table.num_gateways

    def current(self, service: Service) -> Service:
        """What is known of the service by now: policy and weights may have changed since `service`."""
        known = self.table.services.get(service.name)
        return known.service if known is not None else service

    def rate_limits(self, service: Service) -> tuple[RateLimit, ...]:
        known = self.table.services.get(service.name)
        return known.rate_limits if known is not None else ()

    def api_keys(self, service: Service) -> Mapping[str, bytes] | None:
        """The entries of the service's Secret of API keys; None while it has not been seen."""
        known = self.table.services.get(service.name)
        secret = known.keys_secret if known is not None else None
        return self.secrets.get(secret) if secret is not None else None

    def _take_service(self, raw: Manifest) -> None:
        name = raw["metadata"]["name"]
        if self._services_watch.get(raw["metadata"]["namespace"], name) is None:
            self._known.pop(name, None)
            self._unreadable.pop(name, None)
        else:
            try:
                self._known[name] = KnownService.of(InferenceService.from_manifest(raw))
                self._unreadable.pop(name, None)
            # Beyond what spec.py refuses: another version's object may have any shape, and one service
            # that cannot be read must not stop the others.
            except (InvalidSpec, KeyError, TypeError, ValueError, AttributeError) as error:
                self._say_unreadable(name, f"{type(error).__name__}: {error}")
        self._mark_old()

    def _say_unreadable(self, name: str, why: str) -> None:
        if self._unreadable.get(name) != why:
            log.error("InferenceService %s cannot be read, its last good state stands: %s", name, why)
        self._unreadable[name] = why

    def _take_pod(self, raw: Manifest) -> None:
        name = raw["metadata"]["name"]
        if self._pods_watch.get(raw["metadata"]["namespace"], name) is None:
            self._pods.pop(name, None)
        else:
            self._pods[name] = PodView.from_manifest(raw)
        self._mark_old()

    def _mark_old(self) -> None:
        if not self._is_old:
            self._is_old = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        if not self._is_old:
            return
        self._is_old = False
        self.secrets.want(frozenset().union(*(known.secrets for known in self._known.values())))
        tokens = {known.service.name: self._token(known) for known in self._known.values()}
        self.table = RoutingTable.of(self._known.values(), self._pods.values(), tokens)
        for tell in self.on_table:
            tell()

    def _token(self, known: KnownService) -> str:
        secret = self.secrets.get(known.token_secret)
        return secret.get(TOKEN_SECRET_KEY, b"").decode(errors="replace").strip() if secret else ""
