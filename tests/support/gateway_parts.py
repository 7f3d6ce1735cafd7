"""The gateway's data path on a real socket, with the parts around it as plain as they can be."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from mock_engine import TOKEN, MockEngine

from octavo_gateway.app import App
from octavo_gateway.choose import choose
from octavo_gateway.errors import Unauthorized, Unavailable
from octavo_gateway.http_server import HttpServer, listening_socket
from octavo_gateway.metrics import Metrics
from octavo_gateway.routing import (
    BreakReason,
    ContinuationOutcome,
    Cost,
    Endpoint,
    Load,
    Service,
    ServicePolicy,
)
from octavo_gateway.upstream import Upstream

SERVICE = Service(
    name="tiny",
    served_names=("tiny", "alias"),
    policy=ServicePolicy(policy="LeastLoaded", queue_timeout_seconds=2.0),
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def endpoint(pod: str, port: int = 8000, *, revision: str = "rev1", service: str = "tiny") -> Endpoint:
    return Endpoint(pod=pod, uid=f"uid-{pod}", ip="127.0.0.1", port=port, service=service, revision=revision)


@dataclass
class FakeTable:
    services: list[Service]
    endpoints: list[Endpoint] = field(default_factory=list)

    def service_for(self, model: str, host: str) -> Service | None:
        return next((service for service in self.services if model in service.served_names), None)

    def models(self, host: str) -> tuple[tuple[str, Service], ...]:
        return tuple((name, service) for service in self.services for name in service.served_names)

    def routable(self, service: Service) -> tuple[Endpoint, ...]:
        return tuple(replica for replica in self.endpoints if replica.service == service.name)

    def token(self, service: Service) -> str:
        return TOKEN


class FakeKeys:
    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def tenant(self, service: Service, authorization: bytes | None) -> str:
        if not service.policy.has_auth:
            return ""
        for name, key in self._keys.items():
            if authorization == f"Bearer {key}".encode():
                return name
        raise Unauthorized("the key is unknown", code="invalid_api_key")


@dataclass
class FakeAdmission:
    """Lets everyone in; draws go round, so that the revisions' weights are kept exactly."""

    table: FakeTable
    load: Load = field(default_factory=Load)
    settled: list[tuple[int, int]] = field(default_factory=list)
    num_entered: int = 0
    num_left: int = 0

    @contextlib.asynccontextmanager
    async def enter(self, service: Service, tenant: str, cost: Cost) -> AsyncIterator["FakeTicket"]:
        self.num_entered += 1
        try:
            yield FakeTicket(self, service)
        finally:
            self.num_left += 1


class FakeTicket:
    def __init__(self, admission: FakeAdmission, service: Service) -> None:
        self._admission = admission
        self._service = service
        self.headers: Mapping[str, str] = {"x-ratelimit-limit-requests": "60"}

    @contextlib.asynccontextmanager
    async def endpoint(
        self, *, avoid: Set[Endpoint] = frozenset(), prefix: bytes = b"", revision: str | None = None
    ) -> AsyncIterator[Endpoint]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._service.policy.queue_timeout_seconds
        while (chosen := self._choose(avoid, prefix, revision)) is None:
            if clock() > deadline:
                raise Unavailable("no replica was free in time", code="queue_timeout", retry_after=5)
            await asyncio.sleep(0.01)
        with self._admission.load.open(chosen):
            yield chosen

    def settle(self, *, prompt_tokens: int, completion_tokens: int) -> None:
        self._admission.settled.append((prompt_tokens, completion_tokens))

    def _choose(self, avoid: Set[Endpoint], prefix: bytes, revision: str | None) -> Endpoint | None:
        return choose(
            self._service,
            self._admission.table.routable(self._service),
            lambda replica: self._admission.load.in_flight(replica.uid),
            draw=0.0,
            avoid=avoid,
            prefix=prefix,
            revision=revision,
        )


@dataclass
class FakeLifecycle:
    is_leaving: bool = False
    is_refusing: bool = False

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        if self.is_refusing:
            raise Unavailable("the gateway is shutting down", code="server_draining", retry_after=1)
        yield


@dataclass
class FakeRecorder:
    statuses: list[int] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    continuations: list[str] = field(default_factory=list)
    used: list[tuple[str, int, int]] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    token_seconds: list[float] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def blame(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of each revision that has any, as the operator is told."""
        figures = {
            revision: (tally.num_requests, tally.num_errors) for _, revision, tally in self.metrics.tallies
        }
        return {revision: counts for revision, counts in figures.items() if any(counts)}

    def finished(self, service: str, revision: str, status: int) -> None:
        self.statuses.append(status)
        self.metrics.finished(service, revision, status)

    def first_token(self, service: str, revision: str, seconds: float) -> None:
        self.first_tokens.append(seconds)
        self.metrics.first_token(service, revision, seconds)

    def per_token(self, service: str, revision: str, seconds: float) -> None:
        self.token_seconds.append(seconds)
        self.metrics.per_token(service, revision, seconds)

    def retried(self, service: str, revision: str, reason: str) -> None:
        self.retries.append(reason)
        self.metrics.retried(service, revision, reason)

    def continued(
        self, service: str, revision: str, reason: BreakReason, outcome: ContinuationOutcome
    ) -> None:
        self.continuations.append(outcome)
        self.metrics.continued(service, revision, reason, outcome)

    def usage(self, service: str, tenant: str, prompt_tokens: int, completion_tokens: int) -> None:
        self.used.append((tenant, prompt_tokens, completion_tokens))


@dataclass(kw_only=True)
class RunningGateway:
    port: int
    server: HttpServer
    table: FakeTable
    keys: FakeKeys
    admission: FakeAdmission
    lifecycle: FakeLifecycle
    recorder: FakeRecorder
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, body: dict[str, Any] | bytes, **options: Any) -> Any:
        """To /v1/completions; the model is `tiny` unless the body says another."""
        path = options.pop("path", "/v1/completions")
        if isinstance(body, bytes):
            return self.session.post(self.url + path, data=body, **options)
        return self.session.post(self.url + path, json={"model": "tiny", "prompt": "hi", **body}, **options)


@contextlib.asynccontextmanager
async def running_gateway(
    *engines: MockEngine,
    service: Service = SERVICE,
    revisions: tuple[str, ...] = (),
    keys: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[RunningGateway]:
    """In front of engines that run; `options` go to `App`. The i-th engine is the pod `pod-i`."""
    table = FakeTable([service])
    for index, engine in enumerate(engines):
        revision = revisions[index] if revisions else "rev1"
        table.endpoints.append(endpoint(f"pod-{index}", engine.port, revision=revision))
    known_keys = FakeKeys(keys or {})
    admission, lifecycle, recorder = FakeAdmission(table), FakeLifecycle(), FakeRecorder()
    listener = listening_socket("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with Upstream() as upstream, aiohttp.ClientSession() as session:
        app = App(
            table=table,
            keys=known_keys,
            admission=admission,
            lifecycle=lifecycle,
            recorder=recorder,
            upstream=upstream,
            **options,
        )
        server = HttpServer(app)
        serving = asyncio.create_task(server.serve_on(listener))
        try:
            yield RunningGateway(
                port=port,
                server=server,
                table=table,
                keys=known_keys,
                admission=admission,
                lifecycle=lifecycle,
                recorder=recorder,
                session=session,
            )
        finally:
            await session.close()
            server.stop()
            await serving


def with_policy(**changes: Any) -> Service:
    return replace(SERVICE, policy=replace(SERVICE.policy, **changes))


@contextlib.asynccontextmanager
async def in_front_of(*engines: MockEngine, **options: Any) -> AsyncIterator[RunningGateway]:
    async with contextlib.AsyncExitStack() as stack:
        for engine in engines:
            await stack.enter_async_context(engine.running())
        yield await stack.enter_async_context(running_gateway(*engines, **options))


async def streamed(gateway: RunningGateway, body: dict[str, Any]) -> list[str]:
    """The data of each event."""
    async with gateway.post(body) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        text = await response.text()
    assert text.endswith("\n\n")
    events = text[:-2].split("\n\n")
    assert all(event.startswith("data: ") for event in events), "a comment of ours reached the client"
    return [event.removeprefix("data: ") for event in events]


def text_of(events: list[str], index: int = 0) -> str:
    """Of a whole stream: it ends with the last event."""
    assert events[-1] == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events[:-1]]
    return "".join(choice["text"] for choice in choices if choice["index"] == index)
