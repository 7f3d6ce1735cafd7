"""The real process, between an API server and mock engines."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from certificates import write_pair
from gateway_manifests import raw_pod, raw_secret, raw_service
from mock_engine import TOKEN, MockEngine
from scripted_api_server import ScriptedApiServer, scripted_cluster

# Engines listen on port 8000 everywhere: one more address of the loopback has it free.
ENGINE_IP = "127.0.0.77"
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


class Cluster:
    def __init__(self) -> None:
        self.services, self.pods, self.secrets = (ScriptedApiServer() for _ in range(3))
        self.secrets.put_manifest(raw_secret("demo-gateway-token", token=TOKEN))
        self.secrets.put_manifest(raw_secret("keys", alice="sk-a"))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        kinds = {
            "/apis/serving.octavo.dev/v1alpha1/namespaces/n/inferenceservices": self.services,
            "/api/v1/namespaces/n/pods": self.pods,
            "/api/v1/namespaces/n/secrets": self.secrets,
        }
        async with scripted_cluster(kinds) as (_, url):
            yield url


async def test_it_waits_for_its_first_look_without_an_api_server_and_ends_on_sigterm(tmp_path: Path) -> None:
    async with gateway(tmp_path, "http://127.0.0.1:1") as it:
        assert await it.status(it.admin + "/healthz") == 200
        assert await it.status(it.admin + "/readyz") == 503
        assert await it.status(it.clients + "/v1/models") == 200
        it.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            _, said = await it.process.communicate()
        assert it.process.returncode == 0 and b"Traceback" not in said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
async def test_with_a_certificate_it_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    files = write_pair(tmp_path, "gateway")
    trusted = ssl.create_default_context(cafile=str(files.certificate))
    trusted.check_hostname = False
    flags = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    async with gateway(tmp_path, "http://127.0.0.1:1", *flags) as it:
        assert await it.status(it.admin + "/healthz") == 200
        url = it.clients.replace("http:", "https:") + "/v1/models"
        async with it.session.get(url, ssl=trusted) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await it.session.get(it.clients + "/v1/models")


async def test_it_serves_what_the_api_server_knows_and_leaves_in_two_steps(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.services.put_manifest(raw_service("demo"))
    cluster.pods.put_manifest(raw_pod("a"))
    async with cluster.serving() as url, gateway(tmp_path, url) as it:
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


async def test_a_request_with_a_key_waits_for_the_first_replica_and_is_counted(tmp_path: Path) -> None:
    cluster = Cluster()
    limits = [{"key": "alice", "requestsPerMinute": 2}]
    auth = {"apiKeysSecretRef": {"name": "keys"}}
    cluster.services.put_manifest(raw_service("demo", gateway={"auth": auth, "rateLimits": limits}))
    cluster.pods.put_manifest(raw_pod("a", ip=ENGINE_IP, ready="False"))
    engine = MockEngine(host=ENGINE_IP, port=8000)
    async with cluster.serving() as url, gateway(tmp_path, url) as it, engine.running():
        await it.becomes(it.admin + "/readyz", 200)

        async def ask(key: str) -> tuple[int, str | None]:
            body = {"model": "demo", "prompt": "hi", "seed": 1}
            headers = {"authorization": f"Bearer {key}"}
            async with it.session.post(it.clients + "/v1/completions", json=body, headers=headers) as answer:
                await answer.read()
                return answer.status, answer.headers.get("x-ratelimit-remaining-requests")

        parked = asyncio.create_task(ask("sk-a"))
        assert await ask("sk-b") == (401, None)
        await asyncio.sleep(0.1)
        assert not parked.done()
        cluster.pods.put_manifest(raw_pod("a", ip=ENGINE_IP))
        assert await parked == (200, "1")
        assert [await ask("sk-a"), await ask("sk-a")] == [(200, "0"), (429, "0")]
        assert {request.headers["x-octavo-tenant"] for request in engine.received} == {"alice"}
        async with it.session.get(it.admin + "/metrics") as response:
            said = await response.text()
        assert 'octavo_gateway_parked_total{service="demo"} 1.0' in said
        assert 'octavo_gateway_requests_total{code="200",revision="rev1",service="demo"} 2.0' in said
        assert 'octavo_gateway_completion_tokens_total{key="alice",service="demo"} 20.0' in said
