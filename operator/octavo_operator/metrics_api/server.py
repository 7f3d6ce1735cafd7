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
        """What it listens with."""
        self._found: Credentials | None = None
        """What the cluster has for it."""
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
                is_settled = not trouble and self._credentials == self._found
                await asyncio.sleep(look_every if is_settled else try_again_after)
        finally:
            self._credentials = None
            await self._listener.close()
            await self._figures.close()

    async def _look(self) -> str:
        """What is in the way, empty when nothing is."""
        now = datetime.now(UTC)
        try:
            self._found = await self._keeper.current(now)
            trouble, has_told = await self._register(self._found, now)
            # An API server shall not meet a certificate that it does not trust yet: one that serves already
            # goes on with the former until it looks again.
            if self._found != self._credentials and not (has_told and self._credentials):
                await self._serve(self._found)
        except (ApiError, NoFrontProxy, ssl.SSLError, OSError) as error:
            return str(error)
        return trouble

    async def _serve(self, found: Credentials) -> None:
        context = server_context(found.serving, found.front_proxy.ca_pem)
        await self._listener.listen(metrics_app(self._figures, found.front_proxy), context)
        self._credentials = found
        end = found.serving.not_after
        log.info("the metrics API listens on port %s, certificate until %s", self._listener.port, end)

    async def _register(self, found: Credentials, now: datetime) -> tuple[str, bool]:
        """What is in the way, and whether the API server was told of a CA just now.

        An APIService that is not ours keeps nobody from listening, and the operator becomes ready.
        """
        try:
            return "", await self._keeper.register(found.serving, now)
        except NotRegistered as error:
            return str(error), False

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("metrics API: %s", trouble)
        self._trouble = trouble
