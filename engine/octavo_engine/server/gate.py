"""Lets requests to /v1 in or turns them away: loading, closed, or too many at once."""

import contextlib

from starlette.types import ASGIApp, Receive, Scope, Send

from octavo_engine.server.errors import Unavailable, error_response
from octavo_engine.server.lifecycle import Lifecycle


def overloaded(num_open: int) -> Unavailable:
    return Unavailable(
        f"{num_open} requests are running or waiting; try again later",
        code="server_overloaded",
        retry_after=1,
    )


class Gate:
    """A request is open from here until its last byte is sent."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle, max_open_requests: int) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._max_open_requests = max_open_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        with contextlib.ExitStack() as admission:
            try:
                if self._lifecycle.num_open_requests >= self._max_open_requests:
                    raise overloaded(self._lifecycle.num_open_requests)
                admission.enter_context(self._lifecycle.admit())
            except Unavailable as error:
                await error_response(error)(scope, receive, send)
                return
            await self._app(scope, receive, send)
