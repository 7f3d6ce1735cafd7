"""The outermost layer: every request gets an id, a log line, and an answer in JSON whatever happens."""

import logging
import re
import time
import traceback
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octavo_engine.logs import log_event
from octavo_engine.server.errors import (
    ApiError,
    GenerationFailed,
    HeadersTooLarge,
    InternalError,
    error_response,
)
from octavo_engine.server.gateway_trust import caller_of
from octavo_engine.server.lifecycle import Lifecycle
from octavo_engine.server.limits import MAX_HEADER_BYTES

logger = logging.getLogger(__name__)
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PROBES = frozenset({"/health", "/ready", "/metrics"})
EXACTNESS_HEADER = "x-octavo-exactness"
_CLIENT_LEFT = 499  # nginx's number for it; it is only logged


class RequestEdge:
    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        answer = _Answer(send, scope, _request_id(scope), self._lifecycle)
        scope["state"] = {"request_id": answer.request_id}
        started = time.monotonic()
        try:
            await self._within_limits(scope, receive, answer)
        except Exception as error:
            # With an answer on its way the app below has logged the error; uvicorn cuts the connection.
            if answer.status is None:
                failure = error if isinstance(error, ApiError) else internal_error(error, answer.request_id)
                await error_response(failure)(scope, receive, answer.send)
        finally:
            _log_access(scope, answer, time.monotonic() - started)

    async def _within_limits(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            raise HeadersTooLarge(f"the headers exceed {MAX_HEADER_BYTES // 1024} KiB; send smaller ones")
        await self._app(scope, receive, answer.send)


class _Answer:
    """Adds our headers to the response on its way out, and remembers its status."""

    def __init__(self, send: Send, scope: Scope, request_id: str, lifecycle: Lifecycle) -> None:
        self._send = send
        self._scope = scope
        self._lifecycle = lifecycle
        self.request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), (b"x-request-id", self.request_id.encode())]
            if self._lifecycle.is_draining:
                # Kept-alive connections would bring further requests to a server that is leaving.
                headers.append((b"connection", b"close"))
            model = self._lifecycle.loaded_model
            if model is not None and caller_of(self._scope).is_gateway:
                headers.append((EXACTNESS_HEADER.encode(), model.engine.info.exactness.encode()))
            message = {**message, "headers": headers}
        await self._send(message)


def internal_error(error: BaseException, request_id: str) -> InternalError:
    """Log what happened and where, and make the answer that says nothing but the error's id.

    The text of exceptions stays out of the log, for it may quote a prompt; the engine's own words do not.
    """
    error_id = uuid.uuid4().hex[:12]
    frames = "".join(traceback.format_tb(error.__traceback__))
    log_event(
        logger,
        logging.ERROR,
        "internal error",
        request_id=request_id,
        error_id=error_id,
        kind=type(error).__qualname__,
        detail=error.detail if isinstance(error, GenerationFailed) else "",
        traceback=frames,
    )
    return InternalError(
        f"the server failed to answer; its log has the details under error id {error_id}",
        code="internal_error",
    )


def _request_id(scope: Scope) -> str:
    """The caller's own `x-request-id` where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _SANE_REQUEST_ID.fullmatch(given):
                return str(given)
    return uuid.uuid4().hex


def _log_access(scope: Scope, answer: _Answer, seconds: float) -> None:
    level = logging.DEBUG if scope["path"] in _PROBES else logging.INFO
    left = scope["state"].get("client_left", False)
    caller = caller_of(scope)
    tenant = {"tenant": caller.tenant} if caller.is_gateway else {}
    log_event(
        logger,
        level,
        "request",
        request_id=answer.request_id,
        method=scope["method"],
        path=scope["path"],
        status=_CLIENT_LEFT if left else answer.status or _CLIENT_LEFT,
        seconds=round(seconds, 4),
        **tenant,
    )
