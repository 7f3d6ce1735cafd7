"""CRD and manifests use the names of names.py."""

import re
from typing import Any

import yaml
from crd import ROOT, crd, schema, walk

from octavo_api import names
from octavo_engine.config import SchedulerConfig
from octavo_operator.observed import GatewayDefaults
from octavo_operator.settings import Settings

NODES = dict(walk(schema()))
QUOTED = re.compile(r"'([^']*)'")


def rules(path: str) -> list[str]:
    return [rule["rule"] for rule in NODES[path]["x-kubernetes-validations"]]


def operator_manifest(kind: str, name: str = names.OPERATOR_NAME) -> dict[str, Any]:
    files = sorted((ROOT / "manifests/operator").glob("*.yaml"))
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    (found,) = (
        document for document in documents if document["kind"] == kind and _name(document) in (None, name)
    )
    return dict(found)


def _name(document: dict[str, Any]) -> str | None:
    """None for what has none, a Kustomization."""
    name: str | None = document.get("metadata", {}).get("name")
    return name


def test_the_crd_defines_our_kind() -> None:
    definition = crd()["spec"]
    kind = definition["names"]
    assert (definition["group"], definition["versions"][0]["name"]) == (names.GROUP, names.VERSION)
    assert (kind["kind"], kind["plural"], kind["shortNames"]) == (
        names.KIND,
        names.PLURAL,
        [names.SHORT_NAME],
    )
    assert crd()["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"


def test_the_crd_refuses_the_flags_that_the_operator_sets() -> None:
    operators, fields = rules("spec.engine.extraArgs[]")
    assert set(QUOTED.findall(operators)) - {"--", "="} == names.OPERATOR_FLAGS
    assert set(QUOTED.findall(fields)) - {"--", "="} == set(names.FIELD_FLAGS)


def test_the_crd_refuses_the_environment_that_the_operator_sets() -> None:
    assert set(QUOTED.findall(rules("spec.engine.env[].name")[1])) == names.OPERATOR_ENV


def test_every_field_that_stands_for_a_flag_exists() -> None:
    assert set(names.FIELD_FLAGS.values()) <= set(NODES)


def test_the_crd_knows_the_tokens_that_a_step_computes_by_default() -> None:
    default = SchedulerConfig().max_num_batched_tokens
    assert any(f"self.maxRunningRequests <= {default}" in rule for rule in rules("spec.engine.scheduling"))


def test_the_crd_bounds_the_name_so_that_children_fit() -> None:
    (length, _, _) = schema()["x-kubernetes-validations"]
    assert length["rule"] == f"size(self.metadata.name) <= {names.MAX_NAME_LENGTH}"


def test_the_crd_refuses_the_name_of_the_gateway_and_its_token_as_keys() -> None:
    (_, _, reserved) = schema()["x-kubernetes-validations"]
    assert reserved["rule"] == f"self.metadata.name != '{names.GATEWAY_NAME}'"
    (_, token) = rules("spec.gateway.auth.apiKeysSecretRef.name")
    assert QUOTED.findall(token) == [names.GATEWAY_TOKEN_SUFFIX]


def test_the_operator_runs_under_its_names() -> None:
    deployment = operator_manifest("Deployment")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert deployment["metadata"]["name"] == names.OPERATOR_NAME
    assert pod["metadata"]["labels"][names.LABEL_APP] == names.OPERATOR_NAME
    assert pod["spec"]["serviceAccountName"] == names.OPERATOR_NAME
    assert container["ports"][0]["containerPort"] == names.OPERATOR_HEALTH_PORT
    assert operator_manifest("ServiceAccount")["metadata"]["name"] == names.OPERATOR_NAME
    assert operator_manifest("Namespace", names.OPERATOR_NAMESPACE)


def test_the_operator_reads_the_settings_of_its_config_map() -> None:
    literals = operator_manifest("Kustomization")["configMapGenerator"][0]["literals"]
    assert [literal.partition("=")[0] for literal in literals] == [
        "OCTAVO_ENGINE_IMAGE",
        "OCTAVO_GATEWAY_IMAGE",
        "OCTAVO_GATEWAY_REPLICAS",
        "OCTAVO_GATEWAY_TLS_SECRET",
        "OCTAVO_MODEL_ROOT",
        "OCTAVO_HUB_ENDPOINT",
        "OCTAVO_PROMETHEUS_URL",
    ]
    read = Settings.read([], dict(literal.split("=", 1) for literal in literals))
    assert read == Settings(engine_image="octavo-engine", model_root=None, hub_endpoint=None)
    given = {
        "OCTAVO_ENGINE_IMAGE": "a:1",
        "OCTAVO_GATEWAY_IMAGE": "g:1",
        "OCTAVO_GATEWAY_REPLICAS": "3",
        "OCTAVO_GATEWAY_TLS_SECRET": "tls",
        "OCTAVO_MODEL_ROOT": "/m",
        "OCTAVO_HUB_ENDPOINT": "http://h",
        "OCTAVO_PROMETHEUS_URL": "http://p",
    }
    assert Settings.read([], given) == Settings(
        engine_image="a:1",
        gateway=GatewayDefaults(image="g:1", replicas=3, tls_secret="tls"),
        model_root="/m",
        hub_endpoint="http://h",
        prometheus_url="http://p",
    )
