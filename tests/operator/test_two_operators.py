"""Real processes, mostly two under one Lease, over an API server that knows each of them by its token."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from fake_cluster import FakeCluster
from http_api_server import HttpApiServer, Request, failure
from waiting import until

from octavo_api.api_server import INFERENCE_SERVICES, LEASES
from octavo_api.names import LEASE_NAME

# Long enough for a busy machine to renew in time.
LEASE_SECONDS = 6.0
LEASE = LEASES.path("system", LEASE_NAME)


class Operators:
    def __init__(self, http: HttpApiServer, folder: Path) -> None:
        self.http = http
        self.running: dict[str, asyncio.subprocess.Process] = {}
        self._folder = folder

    async def start(self, name: str, *, elected: bool = True) -> None:
        config = self._folder / name
        config.write_text(f"""
apiVersion: v1
kind: Config
current-context: here
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
clusters: [{{name: here, cluster: {{server: "{self.http.url}"}}}}]
users: [{{name: me, user: {{token: {name}}}}}]
""")
        flags = ["--engine-image=e", "--gateway-image=g", "--health-port=0", "--model-root=/m"]
        if elected:
            flags += ["--operator-namespace=system", f"--lease-seconds={LEASE_SECONDS}"]
        environment = {"KUBECONFIG": str(config), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        with (self._folder / f"{name}.log").open("wb") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "octavo_operator", *flags),
                env=environment | {"HOSTNAME": name},
                stderr=log,
            )

    def said(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    @property
    def leader(self) -> str:
        lease = self.http.fake.objects.get(LEASE)
        return str(lease["spec"]["holderIdentity"]).partition("_")[0] if lease else ""

    def writes(self, name: str, since: float = 0.0) -> list[Request]:
        return [each for each in self.http.log if each.is_write and each.token == name and each.at >= since]

    def acts(self, name: str, since: float = 0.0) -> bool:
        return any(each.path != LEASE for each in self.writes(name, since))


@asynccontextmanager
async def operators(folder: Path, *names: str) -> AsyncIterator[tuple[Operators, FakeCluster]]:
    """With a service that changes all the time, so that the leader always has something to write."""
    async with HttpApiServer().running() as http:
        fake = FakeCluster(server=http.fake)
        fake.write_service(replicas=1)
        it = Operators(http, folder)
        busy = asyncio.create_task(_keep_busy(fake))
        try:
            for name in names:
                await it.start(name)
                await until(lambda name=name: it.leader and it.http.requests[f"GET {LEASE}"], seconds=60)
            yield it, fake
        finally:
            busy.cancel()
            for process in it.running.values():
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def _keep_busy(fake: FakeCluster) -> None:
    number = 0
    while True:
        number += 1
        fake.write_service(
            replicas=1, gateway={"maxQueueSeconds": 1 + number % 50}, disruptionBudget=_budget(number)
        )
        fake.world.step()
        await asyncio.sleep(0.1)


def _budget(number: int) -> dict[str, Any]:
    return {"maxUnavailable": 1 + number % 2}


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_one_acts_and_the_other_takes_over_at_once_when_it_ends_in_order(tmp_path: Path) -> None:
    async with operators(tmp_path, "a") as (it, _):
        await until(lambda: it.acts("a"), seconds=40)
        await it.start("b")
        await until(lambda: any(each.token == "b" and each.path == LEASE for each in it.http.log), seconds=60)
        await asyncio.sleep(2)
        assert it.leader == "a" and it.writes("b") == []

        it.running["a"].send_signal(signal.SIGTERM)
        ended = now()
        await until(lambda: it.acts("b"), seconds=LEASE_SECONDS * 0.8)
        assert await it.running["a"].wait() == 0, it.said("a")
        last = max(each.at for each in it.writes("a"))
        assert last <= min(each.at for each in it.writes("b")), now() - ended
        assert "has released the Lease" in it.said("a")


async def test_a_leader_that_slept_writes_nothing_when_it_wakes_and_ends(tmp_path: Path) -> None:
    async with operators(tmp_path, "a") as (it, _):
        await until(lambda: it.acts("a"), seconds=40)
        await it.start("b")
        await until(lambda: any(each.token == "b" and each.path == LEASE for each in it.http.log), seconds=60)

        # Slow answers: some of its requests are on their way while it sleeps.
        async def slow(request: web.Request) -> None:
            if "watch" not in request.query and request.path != LEASE:
                await asyncio.sleep(0.3)

        it.http.fault = slow
        await asyncio.sleep(1)
        it.running["a"].send_signal(signal.SIGSTOP)
        await until(lambda: it.leader == "b" and it.acts("b"), seconds=LEASE_SECONDS * 3)
        woken = now()
        it.running["a"].send_signal(signal.SIGCONT)
        assert await asyncio.wait_for(it.running["a"].wait(), 20) == 1, it.said("a")
        assert it.writes("a", since=woken) == []
        assert "election died: the Lease system/" in it.said("a")


async def test_a_leader_without_an_api_server_ends_and_leads_again_when_it_is_back(tmp_path: Path) -> None:
    async with operators(tmp_path, "a") as (it, _):
        await until(lambda: it.acts("a"), seconds=40)
        await it.http.stop()
        assert await asyncio.wait_for(it.running["a"].wait(), LEASE_SECONDS * 2) == 1
        assert "could not be renewed within 4 s" in it.said("a")
        await it.http.start()
        back = now()
        await it.start("a")
        await until(lambda: it.acts("a", since=back), seconds=60)


async def test_a_process_and_its_kopf_ride_out_an_api_server_that_refuses_all(tmp_path: Path) -> None:
    async with operators(tmp_path) as (it, _):
        await it.start("a", elected=False)
        await until(lambda: it.acts("a"), seconds=60)

        async def refuse(_: web.Request) -> web.StreamResponse:
            return failure(403, "Forbidden")

        it.http.fault = refuse
        it.http.break_watches()
        await asyncio.sleep(4)
        it.http.fault = None
        back = now()
        await until(lambda: it.acts("a", since=back), seconds=40)
        kopfs = f"WATCH {INFERENCE_SERVICES.path()}"
        before = it.http.requests[kopfs]
        it.http.break_watches()
        # Both watches of the services, kopf's and ours, stood and stand again.
        await until(lambda: it.http.requests[kopfs] >= before + 2, seconds=40)
        assert it.running["a"].returncode is None, it.said("a")
