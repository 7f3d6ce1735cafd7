"""The real client against real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from octavo_operator.metrics_api.samples import EnginePodAddress
from octavo_operator.metrics_api.scrape import MAX_BYTES, Scraper

PAGE = "vllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 0.5\n"


def pod(name: str, ip: str = "127.0.0.1") -> EnginePodAddress:
    return EnginePodAddress(namespace="team", name=name, uid=f"uid-{name}", ip=ip, service="demo")


@asynccontextmanager
async def engines(pages: dict[str, str | int | float]) -> AsyncIterator[tuple[Scraper, list[str]]]:
    """By address: the page, or the status, or the seconds that it says nothing."""
    asked: list[str] = []

    async def metrics(request: web.Request) -> web.Response:
        address = request.url.host or ""
        asked.append(address)
        match pages[address]:
            case float() as seconds:
                await asyncio.sleep(seconds)
                return web.Response(text=PAGE)
            case int() as status:
                return web.Response(text=PAGE, status=status)
            case str() as page:
                return web.Response(text=page)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()
    scraper = Scraper(port=runner.addresses[0][1])
    try:
        yield scraper, asked
    finally:
        await scraper.close()
        await runner.cleanup()


async def test_pods_are_asked_once_a_second_whoever_asks() -> None:
    async with engines({"127.0.0.1": PAGE}) as (scraper, asked):
        answers = await asyncio.gather(*(scraper.gauges([pod("a")]) for _ in range(5)))
        assert [(one.kv_usage, one.waiting) for answer in answers for one in answer.values()] == [
            (0.5, 2.0)
        ] * 5
        assert asked == ["127.0.0.1"]


@pytest.mark.parametrize(
    "page", [503, 302, "not metrics", "vllm:num_requests_waiting{\n", 3.0, f"{PAGE}# {'x' * MAX_BYTES}"]
)
async def test_one_bad_pod_harms_no_other(page: str | int | float) -> None:
    async with engines({"127.0.0.1": PAGE, "127.0.0.2": page}) as (scraper, _):
        began = time.monotonic()
        answers = await scraper.gauges([pod("bad", "127.0.0.2"), pod("good")])
        assert [one.name for one in answers] == ["good"]
        assert time.monotonic() - began < 2.5


async def test_an_address_where_nobody_is_has_no_sample() -> None:
    async with engines({}) as (scraper, _):
        nowhere = Scraper(port=1)
        assert await nowhere.gauges([pod("a"), pod("b", "not an address")]) == {}
        await nowhere.close()
        assert await scraper.gauges([]) == {}
