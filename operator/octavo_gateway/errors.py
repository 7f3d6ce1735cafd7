"""What a client is told when the gateway itself refuses or fails: OpenAI's envelope, never internals."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec


class ApiError(Exception):
    """`message` reaches the client; it names the field and the remedy and nothing of the cluster."""

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        return msgspec.json.encode(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )


class BadRequest(ApiError):
    """400: the request can never work as it is."""


class Unauthorized(ApiError):
    """401: no key, or one that the service does not know."""

    status = 401


class NotFound(ApiError):
    status = 404


class MethodNotAllowed(ApiError):
    status = 405


class RequestTimeout(ApiError):
    """408: the client began a request and stopped sending it."""

    status = 408


class BodyTooLarge(ApiError):
    status = 413


class RateLimited(ApiError):
    """429: over a limit of the key; `headers` has Retry-After and the x-ratelimit-* ones."""

    status = 429
    type = "rate_limit_error"


class HeadersTooLarge(ApiError):
    status = 431


class InternalError(ApiError):
    status = 500
    type = "server_error"


class BadGateway(ApiError):
    """502: a replica answered what no replica should, or broke off; nothing tells that a retry would help."""

    status = 502
    type = "server_error"


class Unavailable(ApiError):
    """503: not now; `Retry-After` says when to come back, in whole seconds."""

    status = 503
    type = "server_error"

    def __init__(
        self, message: str, *, code: str, retry_after: int, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, code=code, headers={"retry-after": str(retry_after), **(headers or {})})


class ClientDisconnected(Exception):
    """The client left before its answer was complete; there is nobody to tell."""
