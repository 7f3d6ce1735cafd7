"""Asks the gateway's pods about engine pods and traffic. The only HTTP between operator and gateway."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp

from octavo_api.names import GATEWAY_ADMIN_PORT, PATH_ENDPOINTS, PATH_TRAFFIC
from octavo_operator.gateway_reports import GatewayPod, GatewayReport
from octavo_operator.traffic import TrafficReport

TIMEOUT = aiohttp.ClientTimeout(total=1.0)
AskTraffic = Callable[[tuple[GatewayPod, ...]], Awaitable[tuple[TrafficReport, ...]]]
_Report = TypeVar("_Report")


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
        host = f"[{pod.ip}]" if ipaddress.ip_address(pod.ip).version == 6 else pod.ip
        try:
            async with session.get(f"http://{host}:{port}{path}") as response:
                response.raise_for_status()
                return read(pod.name, await response.json())
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, TypeError, ValueError, AttributeError):
            # It starts, it is gone, or it is no gateway: whatever it is, it has said nothing.
            return silence(pod.name)

    # No connection is kept: a pod's address may be another pod's a moment later.
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        return tuple(await asyncio.gather(*map(ask, pods)))
