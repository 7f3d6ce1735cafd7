"""A mistake in the YAML is refused by the API server itself, with a sentence that says what to do.

All cases go through `kubectl apply --dry-run=server`, many objects a call. No operator takes part.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from crd_case import HUB, engine, model, spec
from crd_rules import RULES
from kubectl import Kubectl
from octavo_api.service_status import Condition, LastFailure, RevisionStatus, ServiceStatus

GOOD = tuple(case for rule in RULES for case in rule.good)
BAD = tuple((case, rule.says) for rule in RULES for case in rule.bad)


def manifest(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "serving.octavo.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": dict(content),
    }


def apply(cluster: Kubectl, *objects: Mapping[str, Any], output: str = "name") -> tuple[str, str]:
    """Whether the API server would take them: what kubectl prints and what it complains about."""
    # Documents, not a List: kubectl checks a List itself and stops at its first fault.
    documents = "\n---\n".join(map(json.dumps, objects))
    done = cluster("apply", "--dry-run=server", f"--output={output}", "-f", "-", input=documents, check=False)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def refusals(cluster: Kubectl) -> dict[str, str]:
    """Every bad spec in one call: the name it was sent with -> what the API server said."""
    _, errors = apply(cluster, *(manifest(f"bad-{index}", case) for index, (case, _) in enumerate(BAD)))
    parts = re.split(r'InferenceService\S* "([a-z0-9-]+)" is invalid', errors)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(
    ("index", "case", "says"),
    [pytest.param(index, case, says, id=f"{index}-{says}") for index, (case, says) in enumerate(BAD)],
)
def test_a_bad_spec_is_refused_with_the_remedy(
    refusals: dict[str, str], index: int, case: Mapping[str, Any], says: str
) -> None:
    assert says in refusals.get(f"bad-{index}", "was accepted"), case


def test_every_good_spec_is_taken(cluster: Kubectl) -> None:
    names = [f"good-{index}" for index in range(len(GOOD))]
    printed, errors = apply(cluster, *(manifest(name, case) for name, case in zip(names, GOOD, strict=True)))
    assert errors == ""
    assert printed.split() == [f"inferenceservice.serving.octavo.dev/{name}" for name in names]


def test_a_misspelt_field_is_refused_by_its_path(cluster: Kubectl) -> None:
    _, errors = apply(cluster, manifest("typo", model() | {"replcas": 2, "modle": {}}))
    assert 'unknown field "spec.modle"' in errors
    assert 'unknown field "spec.replcas"' in errors


def test_a_list_entry_given_twice_is_refused(cluster: Kubectl) -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    _, errors = apply(cluster, manifest("twice", engine(env=twice)))
    assert "spec.engine.env[1]: Duplicate value" in errors


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("n" * 41, "metadata.name is too long; use at most 40 characters"),
        ("1st", "start with a letter"),
        ("my.model", "use lower-case letters, digits and dashes"),
    ],
)
def test_a_name_that_no_child_could_bear_is_refused(cluster: Kubectl, name: str, says: str) -> None:
    _, errors = apply(cluster, manifest(name, model()))
    assert says in errors
    assert apply(cluster, manifest("n" * 40, model()))[1] == ""


def test_the_shortest_service_shows_every_default(cluster: Kubectl) -> None:
    printed, errors = apply(cluster, manifest("short", model()), output="json")
    assert errors == ""
    assert json.loads(printed)["spec"] == {
        "model": {"uri": HUB, "dtype": "Auto"},
        "engine": {
            "kvCache": {"blockSize": 16, "memoryPercent": 90},
            "scheduling": {"maxRunningRequests": 256},
        },
        "replicas": 1,
        "gateway": {
            "policy": "PrefixAware",
            "maxQueuedRequests": 1024,
            "queueTimeoutSeconds": 60,
            "retries": 2,
        },
        "rollout": {
            "maxSurge": 1,
            "maxUnavailable": 0,
            "strategy": "Auto",
            "minReadySeconds": 0,
            "autoRollback": True,
            "progressDeadlineSeconds": 1800,
            "revisionHistoryLimit": 3,
            "paused": False,
        },
        "drain": {"timeoutSeconds": 300, "endpointPropagationSeconds": 10},
        "service": {"type": "ClusterIP"},
        "disruptionBudget": {"maxUnavailable": 1},
    }


def test_an_empty_accelerator_block_asks_for_an_nvidia_gpu(cluster: Kubectl) -> None:
    printed, _ = apply(cluster, manifest("gpu", spec(accelerator={})), output="json")
    assert json.loads(printed)["spec"]["accelerator"] == {"resourceName": "nvidia.com/gpu"}


def test_the_columns_answer_what_people_ask(kubectl: Kubectl) -> None:
    kubectl.apply(manifest("shown", model("pvc://weights") | {"replicas": 3}))
    kubectl("scale", "infsvc", "shown", "--replicas=0")
    header, row = kubectl("get", "infsvc", "shown").stdout.splitlines()
    assert header.split() == ["NAME", "READY", "MODEL", "REVISION", "REPLICAS", "SERVING", "URL", "AGE"]
    columns = {name: row[header.index(name) :].split()[0] for name in ("MODEL", "REPLICAS")}
    assert columns == {"MODEL": "pvc://weights", "REPLICAS": "0"}
    assert "inferenceservice.serving.octavo.dev/shown" in kubectl("get", "all", "-o", "name").stdout


def test_the_status_that_we_write_is_taken(kubectl: Kubectl) -> None:
    kubectl.apply(manifest("told", model("pvc://weights") | {"replicas": 0}))
    condition = Condition(
        type="Ready",
        status="False",
        reason="OutOfMemory",
        message="pod told-1: the weights need 3 GiB; raise spec.resources.memory",
        observed_generation=1,
        last_transition_time="2026-01-01T00:00:00Z",
    )
    failure = LastFailure(
        reason="OutOfMemory", pod="told-1", container="engine", exit_code=66, message="no room"
    )
    told = manifest("told", {}) | {
        "status": ServiceStatus(
            conditions=(condition,),
            phase="Failed",
            selector="a=b",
            url="http://told",
            current_revision="told-1",
            update_revision="told-2",
            revisions=(RevisionStatus(name="told-1", weight_percent=100, replicas=2, ready_replicas=1),),
            model_commit="12fd25f",
            last_failure=failure,
        ).to_manifest()
    }
    del told["spec"]
    arguments = (
        "--server-side",
        "--force-conflicts",
        "--subresource=status",
        "--dry-run=server",
        "-o",
        "json",
    )
    taken = kubectl("apply", *arguments, "-f", "-", input=json.dumps(told)).stdout
    status = json.loads(taken)["status"]
    # The operator's own conditions and revisions of other names stay beside those told here.
    for entries in ("conditions", "revisions"):
        assert told["status"].pop(entries)[0] in status.pop(entries)
    assert status == told["status"]


def test_explain_teaches_the_fields(cluster: Kubectl) -> None:
    assert "hf://ORG/NAME[@REVISION]" in cluster("explain", "infsvc.spec.model.uri").stdout.replace("\n", " ")
    assert "0 stops all" in cluster("explain", "infsvc.spec.replicas").stdout
