import json
from dataclasses import replace
from typing import Any

import pytest
from operator_builders import BEFORE, NOW, deployment, revision, service

from octavo_api.names import ANNOTATION_REVISION_INPUTS
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.revision import existing, inputs_of, thawed


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 5},
        {"rollout": {"progressDeadlineSeconds": 60, "maxSurge": 2, "paused": True}},
        {"gateway": {"retries": 0, "auth": {"apiKeysSecretRef": {"name": "keys"}}}},
        {"service": {"type": "NodePort"}},
        {"disruptionBudget": {"maxUnavailable": 2}},
        {"model": {"uri": "hf://org/name", "dtype": "Auto"}},
        {"engine": {"kvCache": {"blockSize": 16}}},
    ],
)
def test_what_does_not_change_the_pods_makes_no_revision(spec: dict[str, Any]) -> None:
    assert inputs_of(service(**spec)) == inputs_of(service())


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "hf://org/other"}},
        {"model": {"uri": "hf://org/name@v2"}},
        {"model": {"uri": "hf://org/name", "contextLength": 4096}},
        {"model": {"uri": "hf://org/name", "servedNames": ["a"]}},
        {"engine": {"extraArgs": ["--seed", "1"]}},
        {"resources": {"memory": "1Gi"}},
        {"accelerator": {}},
        {"pod": {"labels": {"a": "b"}}},
        {"drain": {"timeoutSeconds": 1}},
    ],
)
def test_what_changes_the_pods_makes_a_revision(spec: dict[str, Any]) -> None:
    assert inputs_of(service(**spec)) != inputs_of(service())


def test_a_claim_and_a_folder_of_the_same_path_are_different_models() -> None:
    folder = service(model={"uri": "file:///a/b"})
    assert inputs_of(folder) != inputs_of(service(model={"uri": "pvc://a/b"}))


def test_the_hash_is_the_same_in_every_process() -> None:
    assert revision(service()).hash8 == revision(service()).hash8


def test_an_upgraded_operator_finds_the_revision_it_did_not_make() -> None:
    demo = service()
    old = deployment(demo)
    assert existing(demo, [old]) == revision(demo)


def test_of_two_revisions_with_the_same_fields_the_younger_counts() -> None:
    demo = service()
    first, second = revision(demo, commit="a" * 40), revision(demo, commit="b" * 40)
    standing = [_with(deployment(demo, created=BEFORE), first), _with(deployment(demo, created=NOW), second)]
    assert existing(demo, standing) == second


def test_a_tampered_record_does_not_count() -> None:
    demo = service()
    old = deployment(demo)
    record = json.loads(old.manifest["metadata"]["annotations"][ANNOTATION_REVISION_INPUTS])
    record["image"] = "evil"
    old.manifest["metadata"]["annotations"][ANNOTATION_REVISION_INPUTS] = json.dumps(record)
    assert thawed(old) is None
    assert existing(demo, [old]) is None


def test_a_deployment_that_is_being_deleted_does_not_count() -> None:
    demo = service()
    assert existing(demo, [replace(deployment(demo), deleting=True)]) is None


def _with(standing: EngineDeployment, made: Any) -> EngineDeployment:
    standing.manifest["metadata"]["annotations"][ANNOTATION_REVISION_INPUTS] = made.frozen
    return replace(standing, revision=made.hash8)
