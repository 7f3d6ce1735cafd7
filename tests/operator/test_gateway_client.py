"""The real client against real sockets."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from octavo_operator.gateway_client import MAX_BYTES, ask_gateways, ask_traffic
from octavo_operator.gateway_reports import EndpointReport, GatewayPod, GatewayReport
from octavo_operator.traffic import TrafficReport

HERE = (GatewayPod("g", "127.0.0.1"),)
SILENT = (GatewayReport(pod="g"),)


@asynccontextmanager
async def gateway(answer: object, status: int = 200, delay: float = 0.0) -> AsyncIterator[int]:
    async def endpoints(_: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return web.json_response(answer, status=status)

    async with listening(endpoints) as port:
        yield port


@asynccontextmanager
async def listening(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/endpoints", answer)
    app.router.add_get("/traffic", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


async def test_every_gateway_is_asked_for_its_endpoints() -> None:
    async with gateway(
        {"synced": True, "pods": {"a": {"uid": "u", "draining": True, "in_flight": 1}}}
    ) as port:
        (report,) = await ask_gateways(HERE, port)
    endpoints = {"a": EndpointReport(uid="u", draining=True, in_flight=1)}
    assert report == GatewayReport(pod="g", synced=True, endpoints=endpoints)


async def test_every_gateway_is_asked_for_its_traffic() -> None:
    async with gateway({"instance": "i", "uptime_seconds": 1.5, "services": {}}) as port:
        reports = await ask_traffic((*HERE, GatewayPod("h", "127.0.0.1")), port)
    expected = TrafficReport(pod="g", instance="i", uptime_seconds=1.5, services={})
    assert reports == (expected, replace(expected, pod="h"))


@pytest.mark.parametrize("answer", [[], {}, {"instance": "i", "uptime_seconds": 1, "services": []}, "x"])
async def test_traffic_that_is_no_report_counts_as_none(answer: object) -> None:
    async with gateway(answer) as port:
        assert await ask_traffic(HERE, port) == (TrafficReport(pod="g"),)
    assert await ask_traffic(HERE, port) == (TrafficReport(pod="g"),)


@pytest.mark.parametrize("answer", [[], {}, {"synced": True, "pods": []}, "x"])
async def test_an_answer_that_is_no_report_counts_as_none(answer: object) -> None:
    async with gateway(answer) as port:
        assert await ask_gateways(HERE, port) == SILENT


async def test_an_error_a_long_silence_and_nobody_there_count_as_no_answer() -> None:
    async with gateway({"synced": True, "pods": {}}, status=503) as port:
        assert await ask_gateways(HERE, port) == SILENT
    async with gateway({"synced": True, "pods": {}}, delay=1.2) as port:
        assert await ask_gateways(HERE, port) == SILENT
    assert await ask_gateways(HERE, port) == SILENT


REPORT = json.dumps({"synced": True, "pods": {}}).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(REPORT + b" " * MAX_BYTES, id="too long"),
        pytest.param(b"[" * 1_000_000, id="lists in lists"),
        pytest.param(
            b'{"synced": true, "pods": {"a": {"uid": "u", "draining": true, "in_flight": Infinity}}}',
            id="infinite",
        ),
        pytest.param(
            b'{"synced": true, "pods": {"a": {"uid": "u", "draining": true, "in_flight": 1e999}}}', id="huge"
        ),
        pytest.param(b"\xff\xfe\xff", id="no text"),
    ],
)
async def test_an_answer_that_means_harm_counts_as_none(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with listening(answer) as port:
        assert await ask_gateways(HERE, port) == SILENT


async def test_an_answer_without_an_end_is_left_when_it_is_too_long() -> None:
    num_sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal num_sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)
            num_sent += 65536

    async with listening(answer) as port:
        began = time.monotonic()
        assert await ask_gateways(HERE, port) == SILENT
        assert time.monotonic() - began < 0.9
    assert num_sent < 3 * MAX_BYTES


async def test_a_gateway_that_sends_the_operator_elsewhere_is_not_followed() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/endpoints":
            return web.Response(body=REPORT, status=302, headers={"Location": "/traffic"})
        return web.Response(body=REPORT)

    async with listening(answer) as port:
        assert await ask_gateways(HERE, port) == SILENT
    assert asked == ["/endpoints"]


async def test_nothing_is_unpacked_nor_asked_for_packed() -> None:
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Accept-Encoding"))
        return web.Response(body=gzip.compress(REPORT), headers={"Content-Encoding": "gzip"})

    async with listening(answer) as port:
        assert await ask_gateways(HERE, port) == SILENT
    assert asked == ["identity"]


async def test_a_pod_without_a_proper_address_counts_as_silent() -> None:
    assert await ask_gateways((GatewayPod("g", "nowhere"),), 1) == SILENT
