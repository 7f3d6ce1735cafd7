"""Which key a change in the cluster leads to."""

import asyncio
from collections.abc import Mapping

import pytest
from fake_cluster import FakeApiServer

from octavo_api.api_server import DEPLOYMENTS, INFERENCE_SERVICES, JOBS, PODS, ROLES, SERVICES, Resource
from octavo_operator.children import Children
from octavo_operator.observed import GatewayKey, Key, Manifest, ObjectKey

OURS = {"app.kubernetes.io/managed-by": "octavo-operator"}
GATEWAYS = OURS | {"app.kubernetes.io/name": "octavo-gateway"}
ENGINES = OURS | {"serving.octavo.dev/service": "demo"}


async def keys_of(resource: Resource, labels: dict[str, str]) -> set[Key]:
    keys: set[Key] = set()
    server = FakeApiServer()
    metadata = {"namespace": "team", "name": "x", "labels": labels}
    server.put(resource.path("team", "x"), {"kind": resource.kind, "metadata": metadata})
    children = Children(server, keys.add)
    running = asyncio.create_task(children.run())
    await children.synced()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return keys


async def test_an_engines_object_leads_to_its_service() -> None:
    for resource in (DEPLOYMENTS, SERVICES, JOBS, PODS):
        assert await keys_of(resource, ENGINES) == {ObjectKey("team", "demo")}


async def test_a_preflights_pod_leads_to_its_service_though_it_is_no_engine() -> None:
    assert await keys_of(PODS, {"serving.octavo.dev/preflight": "demo"}) == {ObjectKey("team", "demo")}


async def test_a_gateways_object_leads_to_the_gateway_of_its_namespace() -> None:
    for resource in (DEPLOYMENTS, SERVICES, ROLES):
        assert await keys_of(resource, GATEWAYS) == {GatewayKey("team")}


async def test_a_service_leads_to_the_gateway_that_it_shares_whatever_its_labels() -> None:
    for labels in ({}, ENGINES):
        assert await keys_of(INFERENCE_SERVICES, labels) == {GatewayKey("team")}


async def test_what_is_not_ours_leads_nowhere() -> None:
    assert await keys_of(DEPLOYMENTS, {"app.kubernetes.io/name": "octavo-gateway"}) == set()
    assert await keys_of(SERVICES, OURS) == set()


class RecordingApiServer(FakeApiServer):
    def __init__(self) -> None:
        super().__init__()
        self.namespaces: list[str | None] = []

    async def list_page(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str]
    ) -> Manifest:
        self.namespaces.append(namespace)
        return await super().list_page(resource, namespace, query)


@pytest.mark.parametrize("namespace", ["team", None])
async def test_an_operator_of_one_namespace_asks_for_that_one_alone(namespace: str | None) -> None:
    server = RecordingApiServer()
    children = Children(server, lambda _: None, namespace=namespace)
    running = asyncio.create_task(children.run())
    await children.synced()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(server.namespaces) == len(children.all)
    assert set(server.namespaces) == {namespace}


async def test_every_change_of_a_service_is_told_to_who_compares_watches() -> None:
    server, told = FakeApiServer(), list[ObjectKey]()
    children = Children(server, lambda _: None, on_service=told.append)
    metadata = {"namespace": "team", "name": "demo", "labels": {}}
    server.put(INFERENCE_SERVICES.path("team", "demo"), {"kind": "InferenceService", "metadata": metadata})
    running = asyncio.create_task(children.run())
    await children.synced()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told == [ObjectKey("team", "demo")]
