"""The routes over real TLS, asked as the API server asks and as others try."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from front_proxy import Authority, stranger

from octavo_operator.metrics_api.app import metrics_app
from octavo_operator.metrics_api.certificate import ServingCertificate, make
from octavo_operator.metrics_api.figures import Figures
from octavo_operator.metrics_api.front_proxy import FrontProxy
from octavo_operator.metrics_api.listener import Listener, server_context
from octavo_operator.metrics_api.samples import EnginePodAddress, Gauges

NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)
ROOT = "/apis/custom.metrics.k8s.io/v1beta2"
PODS = f"{ROOT}/namespaces/team/pods"
KV = "octavo_kv_cache_usage"
SERVICE = {"metadata": {"namespace": "team", "name": "demo"}}


def pod(name: str) -> dict[str, Any]:
    labels = {"serving.octavo.dev/service": "demo", "pod": name}
    metadata = {"namespace": "team", "name": name, "uid": name, "labels": labels}
    return {"metadata": metadata, "status": {"phase": "Running", "podIP": "10.0.0.1"}}


class Cache:
    def __init__(self, *items: dict[str, Any]) -> None:
        self._items = items

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        return next((one for one in self._items if one["metadata"]["name"] == name), None)

    def of(self, namespace: str, _: str) -> tuple[dict[str, Any], ...]:
        return self._items if namespace == "team" else ()


class Engines:
    async def gauges(self, pods: Any) -> Mapping[EnginePodAddress, Gauges]:
        return {one: Gauges(kv_usage=0.7, waiting=1, at=NOW) for one in pods if one.name != "loading"}

    async def close(self) -> None: ...


class Waiting:
    known = True

    async def __call__(self, namespace: str) -> Mapping[str, int] | None:
        return {"demo": 4} if self.known else None

    async def close(self) -> None: ...


class Api:
    """A metrics API that listens; `get` asks as the front proxy unless told otherwise."""

    def __init__(self, folder: Path, allowed: frozenset[str] = frozenset({"front"})) -> None:
        # Strict about its own time only: a fixed one would end some day.
        self.serving = make("octavo-system", datetime.now(UTC))
        self.authority = Authority.make(folder, "ca")
        self.waiting = Waiting()
        services, pods = Cache(SERVICE), Cache(pod("a"), pod("b"), pod("loading"))
        self.figures = Figures(pods=pods, services=services, engines=Engines(), waiting=self.waiting)
        self.allowed = allowed
        self.listener = Listener(0, "127.0.0.1", linger=0.2)
        self.front = self.authority.client("front", trusts=self.serving.ca)

    async def listen(self, serving: ServingCertificate | None = None, ca: str | None = None) -> None:
        front_proxy = FrontProxy(ca or self.authority.pem, self.allowed)
        context = server_context(serving or self.serving, front_proxy.ca_pem)
        await self.listener.listen(metrics_app(self.figures, front_proxy), context)

    async def get(self, path: str, tls: ssl.SSLContext | None = None) -> tuple[int, dict[str, Any]]:
        url = f"https://127.0.0.1:{self.listener.port}{path}"
        name = "octavo-metrics-api.octavo-system.svc"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=tls or self.front, server_hostname=name) as response,
        ):
            answer: dict[str, Any] = await response.json()
            return response.status, answer


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    made = Api(tmp_path)
    await made.listen()
    yield made
    await made.listener.close()


async def values(api: Api, query: str) -> dict[str, str]:
    status, answer = await api.get(f"{PODS}/{query}")
    assert (status, answer["kind"], answer["apiVersion"]) == (
        200,
        "MetricValueList",
        "custom.metrics.k8s.io/v1beta2",
    )
    return {item["describedObject"]["name"]: item["value"] for item in answer["items"]}


async def test_discovery_names_the_metrics_and_offers_nothing_but_get(api: Api) -> None:
    version = {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"}
    group = {"name": "custom.metrics.k8s.io", "versions": [version], "preferredVersion": version}
    assert await api.get("/apis") == (200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
    assert await api.get("/apis/custom.metrics.k8s.io") == (
        200,
        {"kind": "APIGroup", "apiVersion": "v1", **group},
    )
    status, found = await api.get(ROOT)
    assert (status, found["kind"], found["groupVersion"]) == (200, "APIResourceList", version["groupVersion"])
    assert {resource["name"]: resource["verbs"] for resource in found["resources"]} == {
        "pods/octavo_kv_cache_usage": ["get"],
        "pods/octavo_requests_waiting": ["get"],
    }


async def test_the_api_server_learns_that_there_is_no_schema(api: Api) -> None:
    assert (await api.get("/openapi/v2"))[1]["paths"] == {}
    assert await api.get("/openapi/v3") == (200, {"paths": {}})


async def test_the_pods_of_a_service_have_values_as_soon_as_they_serve(api: Api) -> None:
    selector = "labelSelector=serving.octavo.dev%2Fservice%3Ddemo"
    assert await values(api, f"*/{KV}?{selector}") == {"a": "700m", "b": "700m"}
    assert await values(api, f"*/octavo_requests_waiting?{selector}") == {"a": "3", "b": "3"}
    assert await values(api, f"*/{KV}?labelSelector=pod+in+%28a%2Cloading%29") == {"a": "700m"}
    assert await values(api, f"*/{KV}?labelSelector=pod%3Dnobody") == {}
    assert await values(api, f"*/{KV}?metricLabelSelector=colour%3Dred") == {}
    assert await values(api, f"b/{KV}") == {"b": "700m"}


@pytest.mark.parametrize(
    ("path", "code", "reason", "words"),
    [
        (f"{PODS}/nobody/{KV}", 404, "NotFound", "not an engine that serves"),
        (f"{PODS}/loading/{KV}", 404, "NotFound", "not an engine that serves"),
        (f"{PODS}/*/cpu", 404, "NotFound", "no metric cpu of pods"),
        (f"{ROOT}/namespaces/team/services/*/{KV}", 404, "NotFound", "services"),
        ("/apis/custom.metrics.k8s.io/v1beta1", 404, "NotFound", "v1beta1"),
        (f"{PODS}/*/{KV}?labelSelector=a+b", 400, "BadRequest", "'a b' is no requirement"),
        (f"{PODS}/*/{KV}?metricLabelSelector=%3D", 400, "BadRequest", "is no requirement"),
    ],
)
async def test_what_cannot_be_answered_is_a_status(
    api: Api, path: str, code: int, reason: str, words: str
) -> None:
    status, answer = await api.get(path)
    assert (status, answer["code"], answer["kind"], answer["reason"]) == (code, code, "Status", reason)
    assert words in answer["message"]


async def test_without_the_gateways_word_waiting_is_unavailable(api: Api) -> None:
    api.waiting.known = False
    status, answer = await api.get(f"{PODS}/*/octavo_requests_waiting")
    assert (status, answer["reason"]) == (503, "ServiceUnavailable")
    assert await values(api, f"a/{KV}") == {"a": "700m"}


async def test_a_name_that_is_not_allowed_is_refused(api: Api) -> None:
    other = api.authority.client("other", trusts=api.serving.ca)
    for path in ("/apis", ROOT, f"{PODS}/*/{KV}", "/nothing"):
        status, answer = await api.get(path, other)
        assert (status, answer["reason"]) == (401, "Unauthorized")


async def test_who_has_no_certificate_or_another_cas_gets_no_connection(api: Api, tmp_path: Path) -> None:
    another = Authority.make(tmp_path, "another")
    server_only = api.authority.client("front", trusts=api.serving.ca, usage="serverAuth")
    for tls in (stranger(api.serving.ca), another.client("front", trusts=api.serving.ca), server_only):
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
            await api.get(ROOT, tls)


async def test_a_header_that_names_a_user_opens_no_door(api: Api) -> None:
    url = f"https://127.0.0.1:{api.listener.port}{ROOT}"
    headers = {"X-Remote-User": "system:kube-aggregator", "X-Remote-Group": "system:masters"}
    other = api.authority.client("other", trusts=api.serving.ca)
    name = "octavo-metrics-api.octavo-system.svc"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url, ssl=other, server_hostname=name) as response,
    ):
        assert response.status == 401


async def test_without_allowed_names_the_ca_is_enough(tmp_path: Path) -> None:
    api = Api(tmp_path, allowed=frozenset())
    await api.listen()
    other = api.authority.client("other", trusts=api.serving.ca)
    assert (await api.get(ROOT, other))[0] == 200
    await api.listener.close()
    assert api.listener.port is None


async def test_a_change_of_certificate_loses_no_connection(api: Api) -> None:
    port, num_answered, is_over = api.listener.port, 0, False

    async def ask() -> None:
        nonlocal num_answered
        while not is_over:
            assert (await api.get(ROOT))[0] == 200
            num_answered += 1

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for _ in range(5):
        await api.listen()
    is_over = True
    await asyncio.gather(*asking)
    assert num_answered > 20 and api.listener.port == port
