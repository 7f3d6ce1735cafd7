"""The table follows the API server, and outlives it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from gateway_manifests import raw_pod, raw_secret, raw_service
from scripted_api_server import ScriptedApiServer, failure, scripted_cluster
from waiting import until

from octavo_gateway.endpoints import Endpoints

NAMESPACED = "/namespaces/n/"


@dataclass
class World:
    services: ScriptedApiServer
    pods: ScriptedApiServer
    secrets: ScriptedApiServer
    endpoints: Endpoints

    def pods_of(self, model: str) -> list[str]:
        service = self.endpoints.service_for(model, "")
        return [each.pod for each in self.endpoints.routable(service)] if service is not None else []


@asynccontextmanager
async def world(*, ready: bool = True, wait_for_secrets: float = 5.0) -> AsyncIterator[World]:
    services, pods, secrets = ScriptedApiServer(), ScriptedApiServer(), ScriptedApiServer()
    services.put_manifest(raw_service("demo"))
    pods.put_manifest(raw_pod("a"))
    secrets.put_manifest(raw_secret("demo-gateway-token", token="t-1\n"))
    secrets.put_manifest(raw_secret("foreign", password="p"))
    kinds = {
        f"/apis/serving.octavo.dev/v1alpha1{NAMESPACED}inferenceservices": services,
        f"/api/v1{NAMESPACED}pods": pods,
        f"/api/v1{NAMESPACED}secrets": secrets,
    }
    async with scripted_cluster(kinds) as (server, _):
        endpoints = Endpoints(server, "n", wait_for_secrets=wait_for_secrets)
        secrets.refuse_all = not ready
        task = asyncio.create_task(endpoints.run())
        try:
            if ready:
                await until(lambda: endpoints.is_ready and secrets.num_open_watches)
            yield World(services, pods, secrets, endpoints)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_it_is_ready_with_services_pods_and_their_secrets() -> None:
    async with world() as it:
        assert it.pods_of("demo") == ["a"] and it.endpoints.is_synced
        service = it.endpoints.service_for("demo", "")
        assert service is not None and it.endpoints.token(service) == "t-1"


async def test_it_lists_what_its_role_allows_our_pods_and_each_secret_by_its_name() -> None:
    async with world() as it:
        assert [query["labelSelector"] for query in it.pods.lists] == [
            "app.kubernetes.io/name in (octavo-engine,octavo-gateway)"
        ]
        queries = it.secrets.lists + it.secrets.watches
        assert {query["fieldSelector"] for query in queries} == {"metadata.name=demo-gateway-token"}
        assert "fieldSelector" not in it.services.lists[0]


async def test_pods_come_drain_and_go() -> None:
    async with world() as it:
        it.pods.put_manifest(raw_pod("b"))
        await until(lambda: it.pods_of("demo") == ["a", "b"])
        it.pods.put_manifest(raw_pod("a", annotations={"serving.octavo.dev/draining": "now"}))
        await until(lambda: it.pods_of("demo") == ["b"])
        assert [(each.name, each.is_leaving) for each in it.endpoints.table.engines] == [
            ("a", True),
            ("b", False),
        ]
        it.pods.remove("a")
        await until(lambda: len(it.endpoints.table.engines) == 1)


async def test_a_burst_of_events_makes_the_table_anew_once() -> None:
    async with world() as it:
        renewals: list[int] = []
        it.endpoints.on_table.append(lambda: renewals.append(len(it.endpoints.table.engines)))
        for number in range(200):
            it.pods.put_manifest(raw_pod(f"p{number}"))
        await until(lambda: len(it.pods_of("demo")) == 201)
        assert len(renewals) < 100


async def test_a_new_token_is_used_at_once_and_a_lost_one_takes_the_service_out() -> None:
    async with world() as it:
        service = it.endpoints.service_for("demo", "")
        assert service is not None
        it.secrets.put_manifest(raw_secret("demo-gateway-token", token="t-2"))
        await until(lambda: it.endpoints.token(service) == "t-2")
        it.secrets.remove("demo-gateway-token")
        await until(lambda: it.pods_of("demo") == [])


async def test_api_keys_are_watched_for_as_long_as_a_service_names_their_secret() -> None:
    async with world() as it:
        it.secrets.put_manifest(raw_secret("keys", alice="k"))
        gateway = {"auth": {"apiKeysSecretRef": {"name": "keys"}}}
        it.services.put_manifest(raw_service("demo", gateway=gateway))
        await until(lambda: it.endpoints.table.services["demo"].keys_secret == "keys")
        service = it.endpoints.table.services["demo"].service
        await until(lambda: it.endpoints.api_keys(service) == {"alice": b"k"})
        entries = it.endpoints.api_keys(service)
        assert it.endpoints.api_keys(service) is entries
        await until(lambda: it.secrets.num_open_watches == 2)
        it.services.put_manifest(raw_service("demo"))
        await until(lambda: it.secrets.num_open_watches == 1)
        assert it.endpoints.api_keys(service) is None


async def test_the_last_table_stands_while_the_api_server_is_away() -> None:
    async with world() as it:
        for kind in (it.services, it.pods, it.secrets):
            kind.watch_failures += [failure(500, "InternalError") for _ in range(50)]
            kind.drop_watches()
        await until(lambda: len(it.pods.watches) >= 4)
        assert it.pods_of("demo") == ["a"] and it.endpoints.is_ready


async def test_a_service_that_cannot_be_read_keeps_its_last_good_state_and_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, "octavo_gateway")
    async with world() as it:
        it.services.put_manifest(raw_service("demo", model={"uri": 7}))
        it.services.put_manifest(raw_service("demo", model={"uri": 7}, replicas=2))
        it.services.put_manifest(raw_service("worse", model=["no", "object"]))
        it.services.put_manifest({**raw_service("worst"), "status": "not an object"})
        it.services.put_manifest(raw_service("good"))
        await until(lambda: it.endpoints.service_for("good", ""))
        assert it.pods_of("demo") == ["a"] and it.endpoints.service_for("worse", "") is None
        assert [record.getMessage().split()[1] for record in caplog.records] == ["demo", "worse", "worst"]
        it.services.remove("demo")
        await until(lambda: it.endpoints.service_for("demo", "") is None)


async def test_a_secret_that_the_role_does_not_allow_holds_up_its_service_alone() -> None:
    async with world(ready=False, wait_for_secrets=0.05) as it:
        await until(lambda: it.endpoints.is_ready)
        assert it.pods_of("demo") == [] and it.endpoints.is_synced
        it.secrets.refuse_all = False
        await until(lambda: it.pods_of("demo") == ["a"])


async def test_it_is_not_ready_before_the_secrets_had_their_time() -> None:
    async with world(ready=False, wait_for_secrets=5.0) as it:
        await until(lambda: it.endpoints.is_synced and it.secrets.lists == [] and it.pods.num_open_watches)
        assert not it.endpoints.is_ready
