"""Whole visits to a namespace's gateway on an API server in memory."""

from collections.abc import AsyncIterator

import pytest
from fake_cluster import KEY, FakeCluster, Killed

from octavo_api.api_server import DEPLOYMENTS, INFERENCE_SERVICES, ROLES, SERVICES, ApiError
from octavo_operator.observed import ObjectKey
from octavo_operator.work_queue import RetryLater

OTHER = ObjectKey(KEY.namespace, "another")
GATEWAY = (KEY.namespace, "octavo-gateway")


@pytest.fixture
async def fake() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    await cluster.start()
    yield cluster
    await cluster.stop()


def ready(fake: FakeCluster, name: str) -> tuple[str, str]:
    status = fake.server.objects[INFERENCE_SERVICES.path(KEY.namespace, name)]["status"]
    return next((item["status"], item["reason"]) for item in status["conditions"] if item["type"] == "Ready")


async def settle(fake: FakeCluster) -> None:
    """The gateway, the service "demo", and whatever a visit to the gateway asks for."""
    await fake.settle()
    for key in await fake.visit_gateway():
        await fake.visit(key)


async def test_the_gateway_comes_with_the_first_service_and_belongs_to_all(fake: FakeCluster) -> None:
    await settle(fake)
    fake.write_service("another")
    await settle(fake)
    for kind in ("ServiceAccount", "Role", "RoleBinding", "Service", "PodDisruptionBudget", "Deployment"):
        (made,) = fake.server.of_gateway(kind)
        owners = made["metadata"]["ownerReferences"]
        assert {owner["name"] for owner in owners} == {"demo", "another"}
        assert all("controller" not in owner and "blockOwnerDeletion" not in owner for owner in owners)


async def test_an_operator_killed_after_any_of_the_first_writes_makes_the_rest(fake: FakeCluster) -> None:
    await settle(fake)
    for number in range(len(fake.server.writes)):
        killed = FakeCluster()
        killed.server.dies_after = number
        await killed.start()
        with pytest.raises(Killed):
            await settle(killed)
        killed.server.dies_after = None
        await killed.restart()
        await settle(killed)
        await killed.stop()
        assert killed.end_state() == fake.end_state(), f"killed after write {number}"


async def test_a_deleted_or_changed_object_is_made_again(fake: FakeCluster) -> None:
    await settle(fake)
    fake.server.remove(SERVICES.path(*GATEWAY))
    path = ROLES.path(*GATEWAY)
    fake.server.put(path, fake.server.objects[path] | {"rules": []})
    before = len(fake.server.writes)
    await fake.visit_gateway()
    assert fake.server.writes[before:] == ["apply Role", "apply Service"]


async def test_it_is_no_longer_written_when_the_last_service_goes(fake: FakeCluster) -> None:
    await settle(fake)
    fake.service["metadata"]["deletionTimestamp"] = "2026-11-01T12:00:00Z"
    fake.server.put(INFERENCE_SERVICES.path(*KEY), fake.service)
    fake.server.remove(SERVICES.path(*GATEWAY))
    before = list(fake.server.writes)
    assert await fake.visit_gateway() == []
    fake.server.remove(INFERENCE_SERVICES.path(*KEY))
    assert await fake.visit_gateway() == []
    assert fake.server.writes == before


async def test_the_younger_of_two_with_the_same_served_name_gives_way_until_the_older_goes(
    fake: FakeCluster,
) -> None:
    await settle(fake)
    fake.write_service("another", model={"uri": "file:///a", "servedNames": ["demo"]})
    fake.server.objects[INFERENCE_SERVICES.path(*OTHER)]["metadata"]["creationTimestamp"] = (
        "2099-01-01T00:00:00Z"
    )
    await fake.restart()
    await settle(fake)
    assert (ready(fake, "demo"), ready(fake, "another")) == (
        ("True", "Ready"),
        ("False", "DuplicateServedName"),
    )
    fake.server.remove(INFERENCE_SERVICES.path(*KEY))
    assert await fake.visit_gateway() == [OTHER]
    await fake.visit(OTHER)
    assert ready(fake, "another")[1] != "DuplicateServedName"


async def test_services_hear_when_the_gateway_is_ready_and_when_it_is_not(fake: FakeCluster) -> None:
    await fake.visit_gateway()
    await fake.visit()
    assert fake.condition("GatewayReady") == ("Unknown", "GatewayStarting")
    fake.world.step()
    assert await fake.visit_gateway() == [KEY]
    await fake.visit()
    assert fake.condition("GatewayReady") == ("True", "GatewayReady")
    assert await fake.visit_gateway() == []
    path = DEPLOYMENTS.path(*GATEWAY)
    fake.server.put(path, fake.server.objects[path] | {"status": {"availableReplicas": 0}})
    assert await fake.visit_gateway() == [KEY]


async def test_somebody_elses_object_of_the_gateways_name_is_never_touched(fake: FakeCluster) -> None:
    theirs = {"kind": "Service", "metadata": {"namespace": "team", "name": "octavo-gateway"}, "spec": {}}
    fake.server.put(SERVICES.path(*GATEWAY), theirs)
    before = dict(fake.server.objects[SERVICES.path(*GATEWAY)])
    await settle(fake)
    assert fake.server.objects[SERVICES.path(*GATEWAY)] == before
    assert fake.condition("Ready") == ("False", "NameTaken")
    assert len(fake.server.of_gateway("Deployment")) == 1
    fake.server.remove(SERVICES.path(*GATEWAY))
    await settle(fake)
    assert fake.condition("Ready") == ("True", "Ready")


async def test_a_refused_role_is_told_and_throttling_is_tried_again(fake: FakeCluster) -> None:
    fake.server.failures["Role"] = [ApiError(403, "Forbidden", "attempting to grant extra privileges")]
    assert await fake.visit_gateway() == [KEY]
    await fake.visit()
    assert fake.condition("GatewayReady") == ("False", "AdmissionRefused")
    fake.server.failures["Role"] = [ApiError(429, "TooManyRequests", "slow down", retry_after=7.0)]
    with pytest.raises(RetryLater) as raised:
        await fake.visit_gateway()
    assert raised.value.seconds == 7.0
    await settle(fake)
    assert fake.condition("GatewayReady") == ("True", "GatewayReady")
