"""The real process, between an API server and mock engines."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from gateway_manifests import raw_pod, raw_secret, raw_service
from scripted_api_server import ScriptedApiServer, scripted_cluster

PACKAGES = Path(__file__).parents[2] / "operator"


def kubeconfig(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": url}}],
            "users": [{"name": "me", "user": {"token": "t"}}],
        }
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Gateway:
    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession
    clients: str
    admin: str

    async def status(self, url: str) -> int:
        for _ in range(400):
            try:
                async with self.session.get(url) as response:
                    return response.status
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
        raise AssertionError(f"{url} does not answer")

    async def becomes(self, url: str, status: int) -> None:
        async with asyncio.timeout(20):
            while await self.status(url) != status:  # noqa: ASYNC110  (another process's state)
                await asyncio.sleep(0.02)


@asynccontextmanager
async def gateway(folder: Path, api_server: str, *arguments: str) -> AsyncIterator[Gateway]:
    config, http, admin = folder / "kubeconfig", free_port(), free_port()
    config.write_text(kubeconfig(api_server))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "octavo_gateway", "--http-port", str(http), "--admin-port", str(admin)),
        *("--drain-propagation-seconds", "0.5", *arguments),
        env={
            "OCTAVO_NAMESPACE": "n",
            "KUBECONFIG": str(config),
            "PYTHONPATH": str(PACKAGES),
            "PATH": os.environ["PATH"],
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Gateway(process, session, f"http://127.0.0.1:{http}", f"http://127.0.0.1:{admin}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_waits_for_its_first_look_without_an_api_server_and_ends_on_sigterm(tmp_path: Path) -> None:
    async with gateway(tmp_path, "http://127.0.0.1:1") as it:
        assert await it.status(it.admin + "/healthz") == 200
        assert await it.status(it.admin + "/readyz") == 503
        assert await it.status(it.clients + "/v1/models") == 200
        it.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            _, said = await it.process.communicate()
        assert it.process.returncode == 0 and b"Traceback" not in said


async def test_it_serves_what_the_api_server_knows_and_leaves_in_two_steps(tmp_path: Path) -> None:
    services, pods, secrets = ScriptedApiServer(), ScriptedApiServer(), ScriptedApiServer()
    services.put_manifest(raw_service("demo"))
    pods.put_manifest(raw_pod("a"))
    secrets.put_manifest(raw_secret("demo-gateway-token", token="t"))
    kinds = {
        "/apis/serving.octavo.dev/v1alpha1/namespaces/n/inferenceservices": services,
        "/api/v1/namespaces/n/pods": pods,
        "/api/v1/namespaces/n/secrets": secrets,
    }
    async with scripted_cluster(kinds) as (_, url), gateway(tmp_path, url) as it:
        await it.becomes(it.admin + "/readyz", 200)
        async with it.session.get(it.clients + "/v1/models") as response:
            assert [card["id"] for card in (await response.json())["data"]] == ["demo"]
        async with it.session.get(it.admin + "/endpoints") as response:
            assert await response.json() == {
                "synced": True,
                "pods": {"a": {"uid": "uid-a", "draining": False, "in_flight": 0}},
            }
        it.process.send_signal(signal.SIGTERM)
        await it.becomes(it.admin + "/readyz", 503)
        async with it.session.get(it.clients + "/v1/models") as response:
            assert (response.status, response.headers["connection"]) == (200, "close")
        async with asyncio.timeout(10):
            await it.process.communicate()
        assert it.process.returncode == 0
