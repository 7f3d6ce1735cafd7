"""What a client is told when a request fails: OpenAI's envelope, always JSON, never internals."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from starlette.responses import Response


class ApiError(Exception):
    """`message` reaches the client; it names the field and the remedy and nothing of the machine."""

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

    def body(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(ApiError):
    """400: the request can never work as it is."""


class Unauthorized(ApiError):
    status = 401
    type = "authentication_error"


class Forbidden(ApiError):
    status = 403
    type = "permission_error"


class NotFound(ApiError):
    status = 404


class MethodNotAllowed(ApiError):
    status = 405


class NotResumable(ApiError):
    """409: another engine's stream cannot go on here with the same tokens."""

    status = 409

    def __init__(self, message: str) -> None:
        super().__init__(message, param="octavo_resume", code="not_resumable")


class BodyTooLarge(ApiError):
    status = 413


class HeadersTooLarge(ApiError):
    status = 431


class InternalError(ApiError):
    """500: our fault; the message carries an error id that stands in the log beside the details."""

    status = 500
    type = "server_error"


class Unavailable(ApiError):
    """503: not now; `Retry-After` says when to come back."""

    status = 503
    type = "server_error"

    def __init__(self, message: str, *, code: str, retry_after: int, draining: bool = False) -> None:
        headers = {"retry-after": str(retry_after)}
        if draining:
            headers["x-octavo-draining"] = "true"
        super().__init__(message, code=code, headers=headers)


def server_draining() -> Unavailable:
    return Unavailable(
        "this server is shutting down; send the request again",
        code="server_draining",
        retry_after=1,
        draining=True,
    )


class ClientDisconnected(Exception):
    """The client left before its answer was complete; there is nobody to tell."""


class GenerationFailed(Exception):
    """The engine ended a request without an answer; `detail` is for the log only."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class EngineStopped(GenerationFailed):
    """The engine was told to stop while the request ran: the end of a drain."""


def error_response(error: ApiError) -> Response:
    return Response(
        msgspec.json.encode(error.body()),
        status_code=error.status,
        media_type="application/json",
        headers=error.headers,
    )
