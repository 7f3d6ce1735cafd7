"""The metrics API as a part of the operator's process: keeps its credentials current, listens with them."""

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from typing import Final

from octavo_api.api_server import ApiError, ApiServer
from octavo_api.names import METRICS_API_PORT
from octavo_operator.children import Children
from octavo_operator.metrics_api.app import metrics_app
from octavo_operator.metrics_api.credentials import CredentialKeeper, Credentials, NotRegistered
from octavo_operator.metrics_api.figures import Figures, WaitingOfGateways
from octavo_operator.metrics_api.front_proxy import NoFrontProxy
from octavo_operator.metrics_api.listener import Listener, server_context
from octavo_operator.metrics_api.scrape import Scraper

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS: Final = 10.0
"""For so long replicas may differ. A discovery that meets the wrong one stays stale for a minute in the API
server, and with it the deletion of namespaces."""
TRY_AGAIN_SECONDS: Final = 2.0


def metrics_server(
    server: ApiServer, children: Children, waiting: WaitingOfGateways, operator_namespace: str
) -> "MetricsServer":
    figures = Figures(
        pods=children.pods, services=children.inference_services, engines=Scraper(), waiting=waiting
    )
    keeper = CredentialKeeper(server, operator_namespace)
    return MetricsServer(keeper, figures, Listener(METRICS_API_PORT))


class MetricsServer:
    """Its troubles are its own: without metrics autoscalers hold, and all else of the operator goes on."""

    def __init__(self, keeper: CredentialKeeper, figures: Figures, listener: Listener) -> None:
        self._keeper = keeper
        self._figures = figures
        self._listener = listener
        self._credentials: Credentials | None = None
        self._trouble = "it starts"

    def unready(self) -> str:
        """Why it does not listen yet; empty once it does. Kubernetes sends nobody here before."""
        return "" if self._credentials else f"the metrics API does not listen yet: {self._trouble}"

    async def run(
        self, *, look_every: float = LOOK_EVERY_SECONDS, try_again_after: float = TRY_AGAIN_SECONDS
    ) -> None:
        """Until cancelled."""
        try:
            while True:
                trouble = await self._look()
                self._tell(trouble)
                await asyncio.sleep(try_again_after if trouble else look_every)
        finally:
            self._credentials = None
            await self._listener.close()
            await self._figures.close()

    async def _look(self) -> str:
        """What is in the way, empty when nothing is."""
        now = datetime.now(UTC)
        try:
            credentials = await self._keeper.current(now)
            # Before we serve with it: the API server never meets a certificate that it does not trust yet.
            unregistered = await self._register(credentials, now)
            if credentials != self._credentials:
                context = server_context(credentials.serving, credentials.front_proxy.ca_pem)
                await self._listener.listen(metrics_app(self._figures, credentials.front_proxy), context)
                self._credentials = credentials
                end = credentials.serving.not_after
                log.info("the metrics API listens on port %s, certificate until %s", self._listener.port, end)
        except (ApiError, NoFrontProxy, ssl.SSLError, OSError) as error:
            return str(error)
        return unregistered

    async def _register(self, credentials: Credentials, now: datetime) -> str:
        """An APIService that is not ours keeps nobody from listening, and the operator becomes ready."""
        try:
            await self._keeper.register(credentials.serving, now)
        except NotRegistered as error:
            return str(error)
        return ""

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("metrics API: %s", trouble)
        self._trouble = trouble
