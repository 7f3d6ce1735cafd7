"""The real client against real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from octavo_operator.gateway_client import ask_gateways, ask_traffic
from octavo_operator.gateway_reports import EndpointReport, GatewayPod, GatewayReport
from octavo_operator.traffic import TrafficReport

HERE = (GatewayPod("g", "127.0.0.1"),)
SILENT = (GatewayReport(pod="g"),)


@asynccontextmanager
async def gateway(answer: object, status: int = 200, delay: float = 0.0) -> AsyncIterator[int]:
    async def endpoints(_: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_get("/endpoints", endpoints)
    app.router.add_get("/traffic", endpoints)
    runner = web.AppRunner(app)
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
