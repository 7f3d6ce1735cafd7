"""The CRD's schema teaches, is bounded, and says the same as spec.py: the same fields, the same defaults."""

import re
from typing import Any, get_args

import pytest
from crd import Schema, sample, schema, walk, with_defaults
from recorded import Recorded

from octavo_api.autoscaling_spec import Provider
from octavo_api.gateway_spec import RoutingPolicy
from octavo_api.rollout_spec import Strategy
from octavo_api.rollout_status import RolloutFailure, RolloutRecord
from octavo_api.service_status import Condition, LastFailure, RevisionStatus, ServiceStatus
from octavo_api.spec import Dtype, InferenceService, ServiceType

NODES = dict(walk(schema()))
# Kept as the user wrote them: what is inside goes into the pod, and the API server checks it there.
OPAQUE = re.compile(
    r"^spec\.(pod\.(tolerations|topologySpreadConstraints)\[\]|engine\.env\[\]\.valueFrom\.|autoscaling\.behavior\.scale\w+\.)"
)


def fields_of(part: str) -> set[str]:
    """The fields in the schema below `part` that a reader has to ask for by name."""
    return {
        path
        for path in NODES
        if path.startswith(part + ".") and not path.endswith(("[]", "{}")) and not OPAQUE.match(path)
    }


def written(value: Any, path: str) -> set[str]:
    """The paths of all fields in a manifest."""
    if isinstance(value, list):
        inside = set().union(*(written(item, path + "[]") for item in value))
        return {path} | inside - {path + "[]"}
    if not isinstance(value, dict):
        return {path}
    return {path}.union(*(written(item, f"{path}.{name}") for name, item in value.items()))


def test_every_field_is_read_and_no_other() -> None:
    raw = Recorded(sample("full"))
    InferenceService.from_manifest(raw)
    assert {path for path in raw.paths if path.startswith("spec.")} == fields_of("spec")


def test_the_full_sample_has_every_field() -> None:
    missing = fields_of("spec") - written(sample("full")["spec"], "spec")
    assert missing == set()


def test_the_status_is_written_and_read_in_full() -> None:
    condition = Condition(
        type="Ready",
        status="True",
        reason="Ready",
        message="m",
        observed_generation=1,
        last_transition_time="t",
    )
    failure = LastFailure(reason="r", pod="p", container="c", exit_code=1, message="m")
    status = ServiceStatus(
        conditions=(condition,),
        phase="Failed",
        selector="a=b",
        url="http://told",
        current_revision="told-1",
        update_revision="told-2",
        revisions=(RevisionStatus(name="told-1", weight_percent=100, replicas=2, ready_replicas=1),),
        model_commit="12fd25f",
        last_failure=failure,
        autoscaler="HorizontalPodAutoscaler",
        start_seconds=30,
        rollout=RolloutRecord(
            revision="told-2",
            stable="told-1",
            previous="r0",
            completed_at="2026-11-01T11:00:00Z",
            passed_percent=10,
            abandoned="told-0",
            started_at="t",
            step_started_at="t",
            failure=RolloutFailure(revision="told-2", reason="r", message="m", at="t", settings="s"),
        ),
    ).to_manifest()
    assert written(status, "status") - {"status"} == fields_of("status")
    raw = Recorded({"status": status})
    ServiceStatus.from_manifest(raw["status"])
    assert raw.paths == fields_of("status")


SPECS: tuple[Schema, ...] = (
    {},
    {"accelerator": {}},
    {"engine": {"kvCache": {"blockSize": 32}}},
    {"autoscaling": {"maxReplicas": 2}},
    {"rollout": {"strategy": "Canary", "canary": {"steps": [{"weightPercent": 5}], "gate": {}}}},
)


@pytest.mark.parametrize("spec", SPECS)
def test_the_schemas_defaults_are_those_of_the_reader(spec: Schema) -> None:
    raw = {
        "metadata": {"namespace": "a", "name": "b", "uid": "u"},
        "spec": {"model": {"uri": "hf://a/b"}, **spec},
    }
    stored = with_defaults(raw, schema())
    assert stored != raw
    assert InferenceService.from_manifest(stored) == InferenceService.from_manifest(raw)


@pytest.mark.parametrize(
    ("path", "choices"),
    [
        ("spec.model.dtype", get_args(Dtype)),
        ("spec.service.type", get_args(ServiceType)),
        ("spec.gateway.policy", get_args(RoutingPolicy)),
        ("spec.autoscaling.provider", get_args(Provider)),
        ("spec.rollout.strategy", get_args(Strategy)),
    ],
)
def test_choices_are_the_same(path: str, choices: tuple[str, ...]) -> None:
    assert tuple(NODES[path]["enum"]) == choices


@pytest.mark.parametrize("path", NODES)
def test_explain_has_a_sentence_for_the_field(path: str) -> None:
    if path != "metadata":  # the API server allows none there
        assert NODES[path]["description"].endswith(".")


@pytest.mark.parametrize("path", [path for path in NODES if path not in ("apiVersion", "kind", "metadata")])
def test_the_field_has_a_type_and_a_bound(path: str) -> None:
    node = NODES[path]
    if node.get("x-kubernetes-int-or-string"):
        assert "maxLength" in node
        return
    bound = {"string": "maxLength", "array": "maxItems"}.get(node["type"])
    if "additionalProperties" in node:
        bound = "maxProperties"
    assert bound is None or bound in node
    if node["type"] == "integer":
        assert node["format"] in ("int32", "int64")


@pytest.mark.parametrize(
    "path", [path for path in ("", *NODES) if "x-kubernetes-validations" in NODES.get(path, {})]
)
def test_a_rule_says_what_to_do(path: str) -> None:
    for rule in NODES[path]["x-kubernetes-validations"]:
        assert len(rule["message"]) >= 20
        assert "\n" not in rule["message"]


@pytest.mark.parametrize("name", ["smollm2", "minimal", "pvc", "gpu", "full"])
def test_a_sample_is_read(name: str) -> None:
    assert InferenceService.from_manifest(sample(name)).model.uri
