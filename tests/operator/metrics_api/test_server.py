"""The part that runs in the operator's process: it waits for what it needs, and takes what is renewed."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from fake_registration import API_SERVICE, CONFIG_MAP, SECRET, FakeRegistration
from front_proxy import Authority

from octavo_operator.metrics_api.certificate import make
from octavo_operator.metrics_api.credentials import CredentialKeeper
from octavo_operator.metrics_api.figures import Figures
from octavo_operator.metrics_api.front_proxy import FrontProxy
from octavo_operator.metrics_api.listener import Listener
from octavo_operator.metrics_api.server import MetricsServer

NAME = "octavo-metrics-api.octavo-system.svc"


class Nothing:
    """No pods, no gateways."""

    async def close(self) -> None: ...


class Running:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority.make(folder, "ca")
        self.cluster = FakeRegistration(front_proxy=self.front_proxy(self.authority))
        self.listener = Listener(0, "127.0.0.1", linger=0.1)
        nothing = Nothing()
        figures = Figures(pods=nothing, services=nothing, engines=nothing, waiting=nothing)  # type: ignore[arg-type]
        self.keeper = CredentialKeeper(self.cluster, "octavo-system")
        self.server = MetricsServer(self.keeper, figures, self.listener)

    @staticmethod
    def front_proxy(authority: Authority) -> FrontProxy:
        return FrontProxy(authority.pem, frozenset({"front"}))

    async def is_trusted(self, authority: Authority | None = None, *, ca: str = "") -> bool:
        """Whether the API server, which trusts the APIService's bundle or this one CA, gets an answer."""
        try:
            tls = (authority or self.authority).client("front", trusts=ca or self.cluster.bundle)
            async with (
                aiohttp.ClientSession() as session,
                session.get(
                    f"https://127.0.0.1:{self.listener.port}/apis", ssl=tls, server_hostname=NAME
                ) as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, ssl.SSLError, ConnectionError):
            return False


@asynccontextmanager
async def running(
    folder: Path, before: Callable[[Running], object] = lambda _: None, *, try_again_after: float = 0.05
) -> AsyncIterator[Running]:
    made = Running(folder)
    before(made)
    task = asyncio.create_task(made.server.run(look_every=0.05, try_again_after=try_again_after))
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert made.listener.port is None and made.server.unready()


async def until(is_true: Callable[[], object]) -> None:
    for _ in range(100):
        if is_true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not within 2 s")


async def until_trusted(api: Running, *, ca: str) -> None:
    """By who trusts this CA alone; whoever trusts the bundle is answered all the time."""
    for _ in range(100):
        if await api.is_trusted(ca=ca):
            return
        assert await api.is_trusted()
    raise AssertionError("not within 100 questions")


async def test_it_is_ready_once_the_api_server_can_come(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        assert "does not listen yet" in api.server.unready()
        await until(lambda: not api.server.unready())
        assert await api.is_trusted()
        assert api.cluster.writes == [f"create {SECRET}", f"merge {API_SERVICE}"]
        await asyncio.sleep(0.2)
        assert len(api.cluster.writes) == 2, "at rest it writes nothing"


async def test_it_waits_for_a_front_proxy_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, lambda api: api.cluster.objects.pop(CONFIG_MAP)) as api:
        await until(lambda: "has no requestheader-client-ca-file" in api.server.unready())
        await asyncio.sleep(0.2)
        assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1, "said once"
        api.cluster.put_front_proxy(api.front_proxy(api.authority))
        await until(lambda: not api.server.unready())
        assert await api.is_trusted()


async def test_an_api_service_of_another_keeps_nobody_from_becoming_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def take(api: Running) -> None:
        api.cluster.objects[API_SERVICE]["spec"]["service"] = {"namespace": "m", "name": "adapter"}

    async with running(tmp_path, take) as api:
        await until(lambda: not api.server.unready())
        await until(lambda: "belongs to Service m/adapter" in caplog.text)


async def test_a_certificate_that_another_replica_renewed_is_served(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await until(lambda: not api.server.unready())
        before = api.cluster.bundle
        renewed = make("octavo-system", datetime.now(UTC))
        texts = zip(
            ("ca.crt", "tls.crt", "tls.key"), (renewed.ca, renewed.certificate, renewed.key), strict=True
        )
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts}
        api.cluster.objects[SECRET]["data"] = data
        assert await api.is_trusted(), "while the former is served"
        await until(lambda: api.cluster.bundle == renewed.ca + before)
        await until_trusted(api, ca=renewed.ca)
        assert not await api.is_trusted(ca=before)


async def test_the_one_that_renews_serves_the_former_until_the_api_server_has_heard(tmp_path: Path) -> None:
    async with running(tmp_path, try_again_after=0.5) as api:
        await until(lambda: not api.server.unready())
        before = api.cluster.bundle
        del api.cluster.objects[SECRET]
        await until(lambda: api.cluster.bundle != before)
        assert await api.is_trusted(ca=before)
        await until_trusted(api, ca=api.cluster.bundle.removesuffix(before))


async def test_another_front_proxy_is_taken_and_the_former_no_longer(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await until(lambda: not api.server.unready())
        another = Authority.make(tmp_path, "another")
        assert not await api.is_trusted(another)
        api.cluster.put_front_proxy(api.front_proxy(another))
        for _ in range(100):
            if await api.is_trusted(another):
                break
            await asyncio.sleep(0.02)
        assert not await api.is_trusted()
