"""The component manifests/metrics-api and the rules for prometheus-adapter use the names of the code."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from crd import ROOT
from fake_registration import CONFIG_MAP, FakeRegistration

from octavo_api import names
from octavo_api.api_server import Manifest, Resource
from octavo_gateway.metrics import Metrics
from octavo_operator.metrics_api.certificate import LIFETIME, service_names
from octavo_operator.metrics_api.credentials import API_SERVICE_NAME, CredentialKeeper
from octavo_operator.metrics_api.documents import GROUP, VERSION
from octavo_operator.metrics_api.samples import METRICS
from octavo_operator.settings import Settings

COMPONENT = ROOT / "manifests/metrics-api"
ADAPTER = ROOT / "manifests/prometheus-adapter/values.yaml"
Right = tuple[str, str, str, str | None]
"""Group, resource, verb, and the one name that it is for."""


def documents() -> list[dict[str, Any]]:
    files = sorted(COMPONENT.glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def document(kind: str) -> dict[str, Any]:
    (found,) = (one for one in documents() if one["kind"] == kind)
    return found


def adapter_rules() -> dict[str, dict[str, Any]]:
    rules = yaml.safe_load(ADAPTER.read_text())["rules"]["custom"]
    return {rule["name"]["as"]: rule for rule in rules}


def test_the_api_service_leads_to_the_operators_port() -> None:
    service, api_service = document("Service"), document("APIService")
    metadata = service["metadata"]
    assert (metadata["namespace"], metadata["name"]) == (names.OPERATOR_NAMESPACE, names.METRICS_API_NAME)
    assert service["spec"]["selector"] == {names.LABEL_APP: names.OPERATOR_NAME}
    assert service["spec"]["ports"] == [
        {"name": names.METRICS_API_PORT_NAME, "port": 443, "targetPort": names.METRICS_API_PORT_NAME}
    ]
    assert api_service["metadata"]["name"] == API_SERVICE_NAME == f"{VERSION}.{GROUP}"
    assert api_service["spec"] == {
        "group": GROUP,
        "version": VERSION,
        "groupPriorityMinimum": 100,
        "versionPriority": 200,
        "service": {"namespace": names.OPERATOR_NAMESPACE, "name": names.METRICS_API_NAME},
    }
    name = f"{names.METRICS_API_NAME}.{names.OPERATOR_NAMESPACE}.svc"
    assert name in service_names(names.OPERATOR_NAMESPACE)


def test_the_component_opens_the_port_and_switches_the_setting() -> None:
    component = document("Component")
    (patch,) = component["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": names.OPERATOR_NAME}
    (change,) = yaml.safe_load(patch["patch"])
    assert change["value"] == {"name": names.METRICS_API_PORT_NAME, "containerPort": names.METRICS_API_PORT}
    assert len(names.METRICS_API_PORT_NAME) <= 15, "the longest name that a port of a container may have"
    (generator,) = component["configMapGenerator"]
    literals = dict(literal.split("=", 1) for literal in generator["literals"])
    images = {"OCTAVO_ENGINE_IMAGE": "e", "OCTAVO_GATEWAY_IMAGE": "g", "OCTAVO_NAMESPACE": "octavo-system"}
    assert Settings.read([], images | literals).metrics_api


class RecordingRegistration(FakeRegistration):
    def __init__(self) -> None:
        super().__init__()
        self.used: set[Right] = set()

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        # The role for this ConfigMap is Kubernetes' own.
        if resource.path(namespace, name) != CONFIG_MAP:
            self._note(resource.path(namespace, name), "get")
        return await super().get(resource, namespace, name)

    async def request(self, method: str, path: str) -> Manifest:
        self._note(path, method.lower())
        return await super().request(method, path)

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        self.used.add(("", resource.plural, "create", None))
        return await super().create(resource, namespace, manifest)

    async def merge(self, path: str, manifest: Manifest, *, field_manager: str) -> Manifest:
        self._note(path, "patch")
        return await super().merge(path, manifest, field_manager=field_manager)

    def _note(self, path: str, verb: str) -> None:
        *before, resource, name = path.strip("/").split("/")
        self.used.add((before[1] if before[0] == "apis" else "", resource, verb, name))


async def test_the_component_grants_what_the_metrics_api_does_and_nothing_else() -> None:
    cluster, now = RecordingRegistration(), datetime(2026, 11, 26, tzinfo=UTC)
    keeper = CredentialKeeper(cluster, names.OPERATOR_NAMESPACE)
    for moment in (now, now + LIFETIME + timedelta(days=1)):
        await keeper.register((await keeper.current(moment)).serving, moment)
    granted = {
        (group, resource, verb, name)
        for kind in ("Role", "ClusterRole")
        for rule in document(kind)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [None])
    }
    assert granted == cluster.used
    readers = {
        (one["metadata"]["namespace"], one["roleRef"]["name"])
        for one in documents()
        if one["kind"] == "RoleBinding"
    }
    assert readers == {
        ("kube-system", "extension-apiserver-authentication-reader"),
        (names.OPERATOR_NAMESPACE, names.METRICS_API_NAME),
    }


def test_prometheus_adapter_gives_the_metrics_that_our_own_api_gives() -> None:
    rules = adapter_rules()
    assert set(rules) == set(METRICS)
    assert rules[names.METRIC_HPA_KV_USAGE]["seriesQuery"].startswith(f"{names.METRIC_KV_USAGE}{{")
    assert rules[names.METRIC_HPA_WAITING]["seriesQuery"].startswith(f"{names.METRIC_WAITING}{{")


@pytest.mark.parametrize("metric", METRICS)
def test_the_adapters_rules_keep_to_the_pods_that_are_asked_about(metric: str) -> None:
    query = adapter_rules()[metric]["metricsQuery"]
    assert "by (<<.GroupBy>>)" in query
    # Where all series are meant, to divide among them, the join on the namespace keeps other services out.
    everywhere = re.findall(r"<<\.Series>>\{(?!<<\.LabelMatchers>>)", query)
    assert len(everywhere) == query.count("count by (namespace, octavo_service)")


def test_the_adapters_rules_ask_for_the_gateways_gauge_by_its_name_and_label() -> None:
    metrics = Metrics()
    metrics.watch(lambda: [("demo", "parked", 2)], lambda: 1)
    gauge = 'octavo_gateway_waiting_requests{reason="parked",service="demo"} 2.0'
    assert gauge in metrics.page().decode()
    query = adapter_rules()[names.METRIC_HPA_WAITING]["metricsQuery"]
    assert (
        'label_replace(octavo_gateway_waiting_requests, "octavo_service", "$1", "service", "(.+)")' in query
    )
