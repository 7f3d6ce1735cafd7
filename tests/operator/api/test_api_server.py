"""The real client against real sockets: what it lets out, and what it makes of answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from octavo_api.api_server import PODS, SCALED_OBJECTS, ApiError, ApiServer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.permits = True
        self.answered: list[tuple[str, str, int]] = []
        self.credentials: list[str | None] = []

    async def ok(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.method)
        self.credentials.append(request.headers.get("Authorization"))
        return web.json_response({"items": []})

    async def hang_up(self, request: web.Request) -> web.StreamResponse:
        """Without an answer, as a server that forgot the connection; meanwhile the permission goes."""
        self.seen.append(request.method)
        self.permits = False
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.abort()
        await asyncio.sleep(60)
        raise AssertionError


@asynccontextmanager
async def client_of(server: Server, answer: Answer) -> AsyncIterator[ApiServer]:
    app = web.Application()
    app.router.add_route("*", "/api/v1/namespaces/n/pods{rest:.*}", answer)
    app.router.add_route("GET", "/apis/keda.sh/v1alpha1", answer)
    app.router.add_route("*", "/api/v1/namespaces/first/pods{rest:.*}", server.ok)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = ApiServer(
        Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"),
        may_write=lambda: server.permits,
        on_answer=lambda *answer: server.answered.append(answer),
    )
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def test_without_permission_it_reads_and_writes_nothing() -> None:
    server = Server()
    async with client_of(server, server.ok) as client:
        await client.create(PODS, "n", {})
        server.permits = False
        await client.list_page(PODS, "n", {})
        for write in (
            client.create(PODS, "n", {}),
            client.replace(PODS, "n", {"metadata": {"name": "a"}}, field_manager="m"),
            client.apply(PODS.path("n", "a"), {}, field_manager="m"),
            client.merge(PODS.path("n", "a"), {}, field_manager="m"),
            client.delete(PODS, "n", "a", uid="u"),
        ):
            with pytest.raises(ApiError, match="may not write") as error:
                await write
            assert error.value.status == 0
    assert server.seen == ["POST", "GET"]


async def test_a_write_that_aiohttp_would_send_again_asks_again() -> None:
    server = Server()
    async with client_of(server, server.hang_up) as client:
        await client.list_page(PODS, "first", {})  # leaves an open connection
        with pytest.raises(ApiError):
            await client.delete(PODS, "n", "a", uid="u")
    assert server.seen == ["GET", "DELETE"]


@pytest.mark.parametrize("text", ["", "<html>", '{"items": ['])
async def test_an_answer_that_is_no_json_is_none(text: str) -> None:
    async def garbled(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    async with client_of(Server(), garbled) as client:
        with pytest.raises(ApiError) as error:
            await client.list_page(PODS, "n", {})
        assert error.value.status == 0


async def test_every_answer_is_told_and_no_answer_as_0() -> None:
    server = Server()
    async with client_of(server, server.ok) as client:
        await client.list_page(PODS, "n", {})
        [_ async for _ in _some(client)]
        server.permits = False
        with pytest.raises(ApiError):
            await client.create(PODS, "n", {})
    path = "/api/v1/namespaces/n/pods"
    assert server.answered == [("GET", path, 200), ("WATCH", path, 200), ("POST", path, 0)]


async def _some(client: ApiServer) -> AsyncIterator[object]:
    async for event in client.watch(PODS, "n", {"watch": "true"}, silent_after=5.0):
        yield event


async def test_what_a_netrc_says_of_the_host_is_not_for_the_api_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    async with client_of(server, server.ok) as client:
        await client.list_page(PODS, "n", {})
    assert server.credentials == [None]


@pytest.mark.parametrize(
    ("status", "kinds", "is_served"),
    [
        (200, ["scaledjobs", "scaledobjects"], True),
        (200, ["scaledjobs"], False),
        (404, [], False),
        (403, [], False),
    ],
)
async def test_a_kind_is_served_where_its_group_lists_it(
    status: int, kinds: list[str], is_served: bool
) -> None:
    async def discovery(_: web.Request) -> web.StreamResponse:
        return web.json_response({"resources": [{"name": kind} for kind in kinds]}, status=status)

    async with client_of(Server(), discovery) as client:
        assert await client.serves(SCALED_OBJECTS) is is_served


async def test_whether_a_kind_is_served_stays_open_while_the_server_cannot_say() -> None:
    async def unavailable(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503)

    async with client_of(Server(), unavailable) as client:
        with pytest.raises(ApiError):
            await client.serves(SCALED_OBJECTS)
