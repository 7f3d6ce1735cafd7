"""What a client of the gateway meets: routes, keys, and OpenAI's words whatever happens. Plain ASGI."""

import asyncio
import logging
import traceback
import uuid
from collections.abc import Container

import msgspec

from octavo_gateway.client import BodyMemory, Client, Receive, Scope, Send
from octavo_gateway.errors import (
    ApiError,
    ClientDisconnected,
    InternalError,
    MethodNotAllowed,
    NotFound,
)
from octavo_gateway.http_server import MAX_HEADER_BYTES, headers_too_large
from octavo_gateway.logs import log_event
from octavo_gateway.relay import Job, Relay
from octavo_gateway.request_body import parse_body
from octavo_gateway.routing import Admission, Keys, Lifecycle, Recorder, Service, Table
from octavo_gateway.upstream import Upstream

logger = logging.getLogger(__name__)
MAX_BODY_MEMORY_BYTES = 256 * 1024 * 1024
MAX_CONTINUATIONS = 3
_CLIENT_LEFT = 499  # nginx's number for it; it is only logged and counted
_GENERATING = frozenset({"/v1/chat/completions", "/v1/completions"})
_MODELS = "/v1/models"


class App:
    """The ASGI application. Needs a running event loop, and an `upstream` that is open."""

    def __init__(
        self,
        *,
        table: Table,
        keys: Keys,
        admission: Admission,
        lifecycle: Lifecycle,
        recorder: Recorder,
        upstream: Upstream,
        max_continuations: int = MAX_CONTINUATIONS,
        max_body_memory_bytes: int = MAX_BODY_MEMORY_BYTES,
    ) -> None:
        self._table = table
        self._keys = keys
        self._admission = admission
        self._lifecycle = lifecycle
        self._recorder = recorder
        self._clock = asyncio.get_running_loop().time
        self._body_memory = BodyMemory(max_body_memory_bytes)
        self._relay = Relay(
            upstream=upstream,
            table=table,
            recorder=recorder,
            clock=self._clock,
            max_continuations=max_continuations,
        )

    def forget_all_but(self, services: Container[str]) -> None:
        """Services that are gone leave nothing behind."""
        self._relay.forget_all_but(services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        client = Client(scope, receive, send)
        client.is_closing = self._lifecycle.is_leaving
        seen = _Seen(self._clock())
        try:
            with self._lifecycle.admit():
                seen.status = await self._route(client, seen)
        except ClientDisconnected:
            seen.status = _CLIENT_LEFT
        except Exception as error:
            failure = error if isinstance(error, ApiError) else _internal_error(error, client)
            if client.status is not None:
                # Too late for words; uvicorn cuts the connection.
                raise failure from None
            await client.refuse(failure)
            seen.status = failure.status
        finally:
            self._note(client, seen)

    async def _route(self, client: Client, seen: "_Seen") -> int:
        if client.num_header_bytes > MAX_HEADER_BYTES:
            raise headers_too_large()
        if client.path in _GENERATING:
            _check_method(client, "POST")
            return await self._generate(client, seen)
        if client.path == _MODELS or client.path.startswith(_MODELS + "/"):
            _check_method(client, "GET")
            await self._models(client)
            return 200
        raise NotFound(f"there is no {client.path}; see /v1/models, /v1/chat/completions, /v1/completions")

    async def _generate(self, client: Client, seen: "_Seen") -> int:
        with self._body_memory.hold() as take:
            body = parse_body(await client.read_body(take))
            service = self._table.service_for(body.model, client.host)
            if service is None:
                raise self._unknown_model(body.model, client)
            seen.service = service.name
            seen.tenant = tenant = self._keys.tenant(service, client.headers.get(b"authorization"))
            async with client.while_here(), self._admission.enter(service, tenant, body.cost) as ticket:
                job = Job(
                    client=client,
                    service=service,
                    tenant=tenant,
                    body=body,
                    ticket=ticket,
                    arrived_at=seen.arrived_at,
                )
                try:
                    return await self._relay.run(job)
                finally:
                    seen.revision, seen.pod = job.revision, job.pod

    async def _models(self, client: Client) -> None:
        cards = [_card(name, service) for name, service in self._visible(client)]
        if client.path != _MODELS:
            wanted = client.path[len(_MODELS) + 1 :]
            card = next((card for card in cards if card["id"] == wanted), None)
            if card is None:
                raise self._unknown_model(wanted, client)
            body = msgspec.json.encode(card)
        else:
            body = msgspec.json.encode({"object": "list", "data": cards})
        await client.answer(200, [(b"content-type", b"application/json")], body)

    def _visible(self, client: Client) -> list[tuple[str, Service]]:
        """Models that the client's key may use: the names of others' models are not its business."""
        authorization = client.headers.get(b"authorization")
        return [
            (name, service)
            for name, service in self._table.models(client.host)
            if self._may_use(service, authorization)
        ]

    def _may_use(self, service: Service, authorization: bytes | None) -> bool:
        try:
            self._keys.tenant(service, authorization)
        except ApiError:
            return False
        return True

    def _unknown_model(self, model: str, client: Client) -> NotFound:
        served = ", ".join(name for name, _ in self._visible(client)) or "none"
        return NotFound(
            f"the model `{model}` does not exist; there is: {served}", param="model", code="model_not_found"
        )

    def _note(self, client: Client, seen: "_Seen") -> None:
        if seen.service:
            self._recorder.finished(seen.service, seen.revision, seen.status)
        log_event(
            logger,
            logging.INFO,
            "request",
            request_id=client.request_id,
            method=client.method,
            path=client.path,
            service=seen.service,
            tenant=seen.tenant,
            pod=seen.pod,
            status=seen.status,
            seconds=round(self._clock() - seen.arrived_at, 4),
        )


class _Seen:
    """What is known of a request by its end, for metrics and the log."""

    def __init__(self, arrived_at: float) -> None:
        self.arrived_at = arrived_at
        self.service = ""
        self.tenant = ""
        self.revision = ""
        self.pod = ""
        self.status = InternalError.status


def _check_method(client: Client, allowed: str) -> None:
    if client.method != allowed:
        raise MethodNotAllowed(
            f"{client.path} takes {allowed}, not {client.method}", headers={"allow": allowed}
        )


def _card(name: str, service: Service) -> dict[str, object]:
    return {"id": name, "object": "model", "created": service.created, "owned_by": "octavo"}


def _internal_error(error: Exception, client: Client) -> InternalError:
    """The text of exceptions stays out of the log, for it may quote a prompt or a key."""
    error_id = uuid.uuid4().hex[:12]
    log_event(
        logger,
        logging.ERROR,
        "internal error",
        request_id=client.request_id,
        error_id=error_id,
        kind=type(error).__qualname__,
        traceback="".join(traceback.format_tb(error.__traceback__)),
    )
    return InternalError(
        f"the gateway failed to answer; its log has the details under error id {error_id}",
        code="internal_error",
    )
