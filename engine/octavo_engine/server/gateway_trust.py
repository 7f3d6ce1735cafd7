"""Who calls: with a token that only the gateway has, /v1 is its alone, and what its headers say counts.

Without a token anybody may call, and nobody's headers count.
"""

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.logs import log_event
from octavo_engine.server.errors import Unauthorized, error_response

logger = logging.getLogger(__name__)

TENANT_HEADER = "x-octavo-tenant"
RESUMABLE_HEADER = "x-octavo-resumable"
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    is_gateway: bool = False
    tenant: str = ""
    wants_comments: bool = False
    """On its streams, so that it can continue them on another engine."""

    def cache_salt(self, asked: str) -> str:
        """Tenants share no cached prefix, whatever salt their requests ask for: a header has no NUL."""
        return f"{self.tenant}\0{asked}" if self.is_gateway else asked


ANYBODY = Caller()


def caller_of(scope: Scope) -> Caller:
    caller: Caller = scope["state"].get("caller", ANYBODY)
    return caller


class GatewayToken:
    """The token in a file, looked at again at most once a second: a mounted Secret is renewed in place."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidEngineConfig where there is no token."""
        self._path = path
        self._now = now
        self._read_at = now()
        try:
            self._changed = path.stat().st_mtime_ns
            self._token = path.read_bytes().strip()
        except OSError as error:
            raise InvalidEngineConfig(
                f"--gateway-token-file {path}: {error.strerror or error}; give a file with the token"
            ) from error
        if not self._token:
            raise InvalidEngineConfig(
                f"--gateway-token-file {path}: the file is empty; write the token to it"
            )

    def matches(self, presented: bytes) -> bool:
        now = self._now()
        if now - self._read_at >= _SECONDS_BETWEEN_LOOKS:
            self._read_at = now
            self._look_again()
        return hmac.compare_digest(presented, self._token)

    def _look_again(self) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
            if changed == self._changed:
                return
            token = self._path.read_bytes().strip()
        except OSError as error:
            log_event(logger, logging.WARNING, "gateway token unreadable, the old one counts", reason=error)
            return
        if token:
            self._changed, self._token = changed, token


class GatewayTrust:
    """Puts the `Caller` into the request's state; turns away who has not the token."""

    def __init__(self, app: ASGIApp, token: GatewayToken | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._token is not None and scope["path"].startswith("/v1/"):
            headers = dict(scope["headers"])
            if not self._token.matches(_bearer(headers.get(b"authorization", b""))):
                refusal = Unauthorized(
                    "only this service's gateway may call the engine; send the request to the gateway",
                    code="gateway_token_required",
                    headers={"www-authenticate": "Bearer"},
                )
                await error_response(refusal)(scope, receive, send)
                return
            scope["state"]["caller"] = Caller(
                is_gateway=True,
                tenant=headers.get(TENANT_HEADER.encode(), b"").decode("latin-1"),
                wants_comments=headers.get(RESUMABLE_HEADER.encode()) == b"1",
            )
        await self._app(scope, receive, send)


def _bearer(authorization: bytes) -> bytes:
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
