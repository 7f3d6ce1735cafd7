"""Asks the gateway's pods what they know of the engine pods. The only HTTP between operator and gateway."""

import asyncio
import ipaddress

import aiohttp

from octavo_api.names import GATEWAY_ADMIN_PORT, PATH_ENDPOINTS
from octavo_operator.gateway_reports import GatewayPod, GatewayReport

TIMEOUT = aiohttp.ClientTimeout(total=1.0)


async def ask_gateways(
    pods: tuple[GatewayPod, ...], port: int = GATEWAY_ADMIN_PORT
) -> tuple[GatewayReport, ...]:
    """One report a pod, all asked at once; without an answer within a second its report has no endpoints."""
    if not pods:
        return ()
    # No connection is kept: a pod's address may be another pod's a moment later.
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        return tuple(await asyncio.gather(*(_ask(session, pod, port) for pod in pods)))


async def _ask(session: aiohttp.ClientSession, pod: GatewayPod, port: int) -> GatewayReport:
    host = f"[{pod.ip}]" if ipaddress.ip_address(pod.ip).version == 6 else pod.ip
    try:
        async with session.get(f"http://{host}:{port}{PATH_ENDPOINTS}") as response:
            response.raise_for_status()
            return GatewayReport.from_json(pod.name, await response.json())
    except (aiohttp.ClientError, TimeoutError, OSError, KeyError, TypeError, ValueError, AttributeError):
        # It starts, it is gone, or it is no gateway: whatever it is, it has acknowledged nothing.
        return GatewayReport(pod=pod.name)
