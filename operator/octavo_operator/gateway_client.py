"""Asks the gateway's pods about engine pods and traffic. The only HTTP between operator and gateway.

Who listens at a pod's address is not known for certain, so an answer costs little whatever it is: it is
bounded in bytes and time, followed nowhere and never unpacked.
"""

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp

from octavo_api.names import GATEWAY_ADMIN_PORT, PATH_ENDPOINTS, PATH_TRAFFIC
from octavo_operator.gateway_reports import GatewayPod, GatewayReport
from octavo_operator.traffic import TrafficReport

TIMEOUT = aiohttp.ClientTimeout(total=1.0)
MAX_BYTES = 4 * 1024 * 1024
"""Thousands of services' figures take less."""
AskTraffic = Callable[[tuple[GatewayPod, ...]], Awaitable[tuple[TrafficReport, ...]]]
_Report = TypeVar("_Report")
_NO_REPORT = (
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    # Numbers beyond all bounds, and lists within lists.
    OverflowError,
    RecursionError,
)


async def ask_gateways(
    pods: tuple[GatewayPod, ...], port: int = GATEWAY_ADMIN_PORT
) -> tuple[GatewayReport, ...]:
    """One report a pod, all asked at once; without an answer within a second its report has no endpoints."""
    return await _ask_all(
        pods, port, PATH_ENDPOINTS, GatewayReport.from_json, lambda pod: GatewayReport(pod=pod)
    )


async def ask_traffic(
    pods: tuple[GatewayPod, ...], port: int = GATEWAY_ADMIN_PORT
) -> tuple[TrafficReport, ...]:
    """One report a pod, all asked at once; without an answer within a second its report has no services."""
    return await _ask_all(
        pods, port, PATH_TRAFFIC, TrafficReport.from_json, lambda pod: TrafficReport(pod=pod)
    )


async def _ask_all(
    pods: tuple[GatewayPod, ...],
    port: int,
    path: str,
    read: Callable[[str, Any], _Report],
    silence: Callable[[str], _Report],
) -> tuple[_Report, ...]:
    if not pods:
        return ()

    async def ask(pod: GatewayPod) -> _Report:
        try:
            host = f"[{pod.ip}]" if ipaddress.ip_address(pod.ip).version == 6 else pod.ip
            async with session.get(f"http://{host}:{port}{path}", allow_redirects=False) as response:
                return read(pod.name, json.loads(await _body(response)))
        except _NO_REPORT:
            # It starts, it is gone, or it is no gateway: whatever it is, it has said nothing.
            return silence(pod.name)

    # No connection is kept: a pod's address may be another pod's a moment later.
    async with aiohttp.ClientSession(
        timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}, auto_decompress=False
    ) as session:
        return tuple(await asyncio.gather(*map(ask, pods)))


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Raises ValueError for what is no answer, or too long a one, of which the rest is not read."""
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
    return bytes(body)
