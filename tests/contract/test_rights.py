"""The operator's roles against what it does, which is measured in runs over a cluster in memory."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
import yaml
from crd import ROOT
from fake_cluster import FakeApiServer, FakeCluster

from octavo_api import api_server, names
from octavo_api.api_server import INFERENCE_SERVICES, LEASES, SCALED_OBJECTS, Manifest, Resource
from octavo_operator import cluster
from octavo_operator.lease import Lease

Right = tuple[str, str, str]
"""Group, resource or resource/subresource, verb."""

FOLDER = ROOT / "manifests/operator"
NOT_IN_THE_RUNS: dict[Right, str] = {
    (
        names.GROUP,
        f"{names.PLURAL}/finalizers",
        "update",
    ): "to name it as an owner that blocks its own deletion",
    (
        "rbac.authorization.k8s.io",
        "roles",
        "escalate",
    ): "the gateway's role allows more than the operator may itself",
    ("rbac.authorization.k8s.io", "roles", "bind"): "and is bound to its account",
}
"""What no run uses through our own client, and why it is there."""


class RecordingApiServer(FakeApiServer):
    def __init__(self, used: set[Right]) -> None:
        super().__init__()
        self.used = used

    def note(self, resource: Resource, *verbs: str, subresource: str = "") -> None:
        group = resource.api_version.rpartition("/")[0]
        self.used |= {(group, resource.plural + subresource, verb) for verb in verbs}

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        self.note(resource, "get")
        return await super().get(resource, namespace, name)

    async def list_page(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str]
    ) -> Manifest:
        self.note(resource, "list")
        return await super().list_page(resource, namespace, query)

    async def watch(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], *, silent_after: float
    ) -> AsyncIterator[Manifest]:
        self.note(resource, "watch")
        async for event in super().watch(resource, namespace, query, silent_after=silent_after):
            yield event

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        self.note(resource, "create")
        return await super().create(resource, namespace, manifest)

    async def replace(
        self, resource: Resource, namespace: str, manifest: Manifest, *, field_manager: str
    ) -> Manifest:
        self.note(resource, "update")
        return manifest

    async def apply(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        resource, subresource = of_path(path)
        # What an apply finds missing it makes.
        self.note(resource, "patch", *(() if subresource else ("create",)), subresource=subresource)
        return await super().apply(path, manifest, field_manager=field_manager)

    async def merge(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        resource, subresource = of_path(path)
        self.note(resource, "patch", subresource=subresource)
        return await super().merge(path, manifest, field_manager=field_manager)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        self.note(resource, "delete")
        await super().delete(resource, namespace, name, uid=uid)


def of_path(path: str) -> tuple[Resource, str]:
    plural, *rest = path.partition("/namespaces/")[2].split("/")[1:]
    resource = next(each for each in resources() if each.plural == plural)
    return resource, f"/{rest[1]}" if len(rest) > 1 else ""


def resources() -> list[Resource]:
    """All kinds that the operator and the gateway know."""
    modules = (api_server, cluster)
    return [value for module in modules for value in vars(module).values() if isinstance(value, Resource)]


def granted(role: Manifest) -> dict[Right, set[str]]:
    """Each right with the names that it is for; none: all."""
    rights: defaultdict[Right, set[str]] = defaultdict(set)
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    rights[group, resource, verb] |= set(rule.get("resourceNames", ()))
    return dict(rights)


def role(kind: str, name: str) -> Manifest:
    documents = [
        document
        for file in sorted(FOLDER.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
    ]
    (found,) = (
        document
        for document in documents
        if document["kind"] == kind and document.get("metadata", {}).get("name") == name
    )
    return dict(found)


@pytest.fixture
async def used() -> set[Right]:
    """By a service that is made, rolled out, scaled down and finds no accelerator; by its gateway."""
    used: set[Right] = set()
    fake = FakeCluster(server=RecordingApiServer(used))
    fake.defaults = replace(fake.defaults, prometheus_url="http://prometheus:9090")
    fake.world.add_gateway("gateway-0")
    fake.write_service(replicas=2)
    await fake.start()
    try:
        await fake.settle()
        for model in "bcd":
            rollout = {"revisionHistoryLimit": 1, "maxSurge": 1}
            fake.write_service(model={"uri": f"file:///{model}"}, replicas=1, rollout=rollout)
            await fake.settle()
        await scale_by_itself(fake)
        fake.world.accelerators = 1
        fake.write_service(model={"uri": "file:///e"}, accelerator={}, rollout={"strategy": "Surge"})
        await fake.settle()
        await fake.server.list_page(INFERENCE_SERVICES, None, {})
    finally:
        await fake.stop()
    return used


async def scale_by_itself(fake: FakeCluster) -> None:
    """By KEDA, then by an HPA, to zero."""
    fake.server.apis.add(SCALED_OBJECTS.api_version)
    fake.later += timedelta(seconds=60)
    to_zero = {"minReplicas": 0, "maxReplicas": 2, "idleSeconds": 10}
    for provider in ("KEDA", "HPA", "KEDA"):
        fake.write_service(replicas=1, autoscaling=to_zero | {"provider": provider})
        await fake.settle()
        fake.later += timedelta(seconds=20)
        fake.world.idle_seconds = 20.0
        await fake.settle()


def test_the_operator_may_touch_the_kinds_it_knows_and_no_other() -> None:
    known = {(each.api_version.rpartition("/")[0], each.plural) for each in resources()}
    known.remove((LEASES.api_version.rpartition("/")[0], LEASES.plural))
    allowed = {
        (group, resource.partition("/")[0])
        for group, resource, _ in granted(role("ClusterRole", names.OPERATOR_NAME))
    }
    assert allowed == known


def test_every_verb_is_used_and_every_used_verb_is_allowed(used: set[Right]) -> None:
    allowed = granted(role("ClusterRole", names.OPERATOR_NAME)).keys()
    assert used - allowed == set()
    assert allowed - used == NOT_IN_THE_RUNS.keys()


def test_the_operator_gives_rights_only_under_the_gateways_name_and_lists_no_secrets() -> None:
    rights = granted(role("ClusterRole", names.OPERATOR_NAME))
    only_for = {right: whose for right, whose in rights.items() if whose}
    assert set(map(frozenset, only_for.values())) == {frozenset({names.GATEWAY_NAME})}
    giving = {right for right in rights if right[2] in ("escalate", "bind")}
    assert giving <= only_for.keys()
    assert {verb for _, resource, verb in rights if resource == "secrets"} == {"get", "create"}


async def test_the_election_needs_its_own_role_and_nothing_else() -> None:
    used: set[Right] = set()
    server = RecordingApiServer(used)
    lease = Lease(server, names.OPERATOR_NAMESPACE, "a")
    for _ in ("makes it", "takes it over"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await lease.run()
        lease = Lease(server, names.OPERATOR_NAMESPACE, "a")
    rights = granted(role("Role", f"{names.OPERATOR_NAME}-lease"))
    assert used == rights.keys()
    assert {verb: whose for (_, _, verb), whose in rights.items()} == {
        "create": set(),  # what is not there yet cannot be named
        "get": {names.LEASE_NAME},
        "update": {names.LEASE_NAME},
    }


def test_no_right_is_for_a_name_that_kustomize_would_change() -> None:
    """It takes resourceNames for references to the ConfigMaps that it makes, and appends their hash."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    made = {each["name"] for each in kustomization["configMapGenerator"]}
    roles = (role("ClusterRole", names.OPERATOR_NAME), role("Role", f"{names.OPERATOR_NAME}-lease"))
    for each in roles:
        assert not made & set().union(*granted(each).values())
