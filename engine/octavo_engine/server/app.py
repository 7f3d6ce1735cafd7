"""The composition root of the HTTP half: routes, and the layers around them."""

import msgspec
from fastapi import FastAPI, HTTPException
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from octavo_engine.server import chat, completions, status_routes
from octavo_engine.server.answering import Answering
from octavo_engine.server.edge import RequestEdge, internal_error
from octavo_engine.server.errors import (
    ApiError,
    BadRequest,
    ClientDisconnected,
    MethodNotAllowed,
    NotFound,
    error_response,
)
from octavo_engine.server.gate import Gate
from octavo_engine.server.gateway_trust import GatewayToken, GatewayTrust
from octavo_engine.server.lifecycle import Lifecycle
from octavo_engine.server.metrics import Metrics
from octavo_engine.server.openai_replies import ModelCard, ModelList
from octavo_engine.server.settings import ServerSettings


def create_app(settings: ServerSettings, lifecycle: Lifecycle) -> ASGIApp:
    """Needs a running event loop's `lifecycle`; serves from the first moment, also while loading.

    Raises InvalidEngineConfig where the settings name a file of the gateway's token that has none.
    """
    token_file = settings.gateway_token_file
    token = None if token_file is None else GatewayToken(token_file)
    metrics = Metrics(settings.served_names[0], lifecycle)
    answering = Answering(settings, lifecycle, metrics)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    _add_error_handlers(app)
    _add_openai_routes(app, answering)
    _add_status_routes(app, settings, lifecycle, metrics)
    gate = Gate(app, lifecycle, settings.max_open_sequences)
    return RequestEdge(GatewayTrust(gate, token), lifecycle)


def _add_openai_routes(app: FastAPI, answering: Answering) -> None:
    @app.post("/v1/chat/completions")
    async def chat_route(request: Request) -> Response:
        return await chat.chat_completions(request, answering)

    @app.post("/v1/completions")
    async def completions_route(request: Request) -> Response:
        return await completions.completions(request, answering)

    @app.get("/v1/models")
    async def models_route() -> Response:
        return _json(ModelList(data=[_card(answering, name) for name in answering.model.names]))

    @app.get("/v1/models/{name:path}")
    async def model_route(name: str) -> Response:
        answering.model.check_name(name)
        return _json(_card(answering, name))


def _add_status_routes(
    app: FastAPI, settings: ServerSettings, lifecycle: Lifecycle, metrics: Metrics
) -> None:
    @app.get("/health")
    async def health_route() -> Response:
        return status_routes.health(lifecycle, settings.stall_seconds)

    @app.get("/ready")
    async def ready_route() -> Response:
        return status_routes.ready(lifecycle)

    @app.get("/metrics")
    async def metrics_route(request: Request) -> Response:
        return status_routes.metrics_page(request, metrics)

    @app.post("/drain")
    async def drain_route(request: Request) -> Response:
        return await status_routes.drain(request, lifecycle)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> Response:
        return error_response(error)

    @app.exception_handler(StarletteHTTPException)
    async def routing_error(request: Request, error: HTTPException) -> Response:
        return error_response(_routing_error(request, error))

    @app.exception_handler(ClientDisconnected)
    async def client_left(request: Request, error: ClientDisconnected) -> Response:
        request.scope["state"]["client_left"] = True
        return Response(status_code=499)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return error_response(internal_error(error, request.state.request_id))


def _routing_error(request: Request, error: HTTPException) -> ApiError:
    if error.status_code == 404:
        return NotFound(
            f"there is no {request.url.path}; see /v1/models, /v1/chat/completions, /v1/completions"
        )
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(
            f"{request.url.path} takes {allowed}, not {request.method}", headers={"allow": allowed}
        )
    return BadRequest("the request is malformed")


def _card(answering: Answering, name: str) -> ModelCard:
    model = answering.model
    return ModelCard(id=name, created=model.created, max_model_len=model.engine.info.max_model_len)


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
