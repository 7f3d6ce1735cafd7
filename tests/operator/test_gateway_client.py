"""The real client against real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from octavo_operator.gateway_client import ask_gateways
from octavo_operator.gateway_reports import EndpointReport, GatewayPod, GatewayReport

HERE = (GatewayPod("g", "127.0.0.1"),)
SILENT = (GatewayReport(pod="g"),)


@asynccontextmanager
async def gateway(answer: object, status: int = 200, delay: float = 0.0) -> AsyncIterator[int]:
    async def endpoints(_: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_get("/endpoints", endpoints)
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
