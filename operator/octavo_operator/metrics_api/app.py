"""The routes of custom.metrics.k8s.io/v1beta2, behind the front proxy's certificate."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from octavo_operator.metrics_api import documents
from octavo_operator.metrics_api.figures import Figures, WaitingUnknown
from octavo_operator.metrics_api.front_proxy import FrontProxy, common_name
from octavo_operator.metrics_api.samples import METRICS
from octavo_operator.metrics_api.selectors import InvalidSelector, Selector

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ALL: Final = "*"


def metrics_app(figures: Figures, front_proxy: FrontProxy) -> web.Application:
    """To be served over TLS that verifies client certificates against the front proxy's CA alone."""

    @web.middleware
    async def only_the_front_proxy(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        if not front_proxy.admits(certificate):
            name = common_name(certificate or {})
            return _failure(401, f"{name!r} is not the API server's front proxy; ask through the API server")
        return await handler(request)

    @web.middleware
    async def errors_are_statuses(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _failure(error.status, f"{request.method} {request.path}: {error.reason}")
        except InvalidSelector as error:
            return _failure(400, str(error))
        except WaitingUnknown as error:
            return _failure(503, str(error))

    async def values(request: web.Request) -> web.StreamResponse:
        namespace, name, metric = (request.match_info[key] for key in ("namespace", "name", "metric"))
        if metric not in METRICS:
            return _failure(404, f"there is no metric {metric} of pods; there are {' and '.join(METRICS)}")
        selector = Selector.parse(request.query.get("labelSelector", ""))
        # Our metrics have no labels of their own.
        has_metric = Selector.parse(request.query.get("metricLabelSelector", "")).matches({})
        pods = figures.selected(namespace, selector) if name == ALL else figures.named(namespace, name)
        samples = await figures.samples(metric, namespace, pods if has_metric else ())
        if name != ALL and not samples:
            return _failure(404, f"pod {namespace}/{name} has no {metric}: it is not an engine that serves")
        return web.json_response(documents.value_list(metric, samples))

    app = web.Application(middlewares=[only_the_front_proxy, errors_are_statuses])
    app.router.add_get("/apis", _says(documents.group_list()))
    app.router.add_get(f"/apis/{documents.GROUP}", _says(documents.group()))
    app.router.add_get("/openapi/v2", _says(documents.openapi_v2()))
    app.router.add_get("/openapi/v3", _says(documents.openapi_v3()))
    root = f"/apis/{documents.GROUP_VERSION}"
    app.router.add_get(root, _says(documents.resource_list()))
    app.router.add_get(f"{root}/namespaces/{{namespace}}/pods/{{name}}/{{metric}}", values)
    return app


def _says(document: dict[str, Any]) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return answer


def _failure(code: int, message: str) -> web.Response:
    return web.json_response(documents.failure(code, message), status=code)
