"""What the informers leave out is read by nobody."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from fake_world import GATEWAYS_OWNER
from operator_builders import DEFAULTS, gateway_seen, live, neighbour, revision, service
from recorder import fields_of, fields_read

from octavo_api.names import ANNOTATION_DELETION_COST, ANNOTATION_DRAINING, LABEL_REVISION, LABEL_SERVICE
from octavo_operator import trim
from octavo_operator.drift import holds, stamped
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import EnginePod
from octavo_operator.gateway_reports import running_gateways
from octavo_operator.gateway_seen import GatewayDeployment, Neighbour
from octavo_operator.observed import Manifest
from octavo_operator.ownership import gateway_ownership, ownership
from octavo_operator.render import children
from octavo_operator.render.gateway import gateway_children

META = {
    "namespace": "team",
    "name": "demo-x",
    "uid": "u",
    "resourceVersion": "7",
    "generation": 3,
    "creationTimestamp": "2026-11-01T11:30:00Z",
    "deletionTimestamp": "2026-11-01T11:50:00Z",
}
CONDITION = {
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes",
    "lastTransitionTime": "2026-11-01T11:40:00Z",
    "lastUpdateTime": "2026-11-01T11:41:00Z",
    "observedGeneration": 3,
}
ENDED = {"exitCode": 65, "reason": "Error", "message": "no", "finishedAt": "2026-11-01T11:40:00Z"}
RESOURCES = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}}
STATES: tuple[dict[str, Any], ...] = (
    {"running": {"startedAt": "2026-11-01T11:31:00Z"}},
    {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
    {"terminated": ENDED},
)


def raw_pod(state: dict[str, Any]) -> Manifest:
    """With all that is ever read of one, and more."""
    container = {"name": "engine", "image": "i", "ready": True, "restartCount": 4, "state": state}
    marks = {ANNOTATION_DRAINING: "2026-11-01T11:45:00Z", ANNOTATION_DELETION_COST: "-1", "other": "x"}
    conditions = [{**CONDITION, "type": kind} for kind in ("PodScheduled", "Initialized", "Ready")]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **META,
            "labels": {LABEL_SERVICE: "demo", LABEL_REVISION: "abcd1234", "other": "x"},
            "annotations": marks,
            "ownerReferences": [GATEWAYS_OWNER],
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "engine", "image": "i", "resources": RESOURCES}]},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": conditions,
            "containerStatuses": [{**container, "lastState": {"terminated": ENDED}}, {"name": "side"}],
        },
    }


def raw_deployment() -> Manifest:
    of = service()
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    kinds = ("Progressing", "ReplicaFailure", "Available")
    conditions = [{**CONDITION, "type": kind, "status": "True"} for kind in kinds]
    manifest = live(stamped(children(of, revision(of), 1, DEFAULTS.gateway)[-1]), **counts)
    manifest["metadata"]["deletionTimestamp"] = META["deletionTimestamp"]
    return {**manifest, "status": {**manifest["status"], "conditions": conditions}}


def raw_inference_service() -> Manifest:
    kinds = ("Ready", "GatewayReady")
    return {
        "apiVersion": "serving.octavo.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {**META, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": {"model": {"uri": "file:///a", "servedNames": ["a"]}},
        "status": {"phase": "Ready", "conditions": [{**CONDITION, "type": kind} for kind in kinds]},
    }


def running(raw: Manifest) -> Any:
    return running_gateways([raw])


Read = Callable[[Any], object]
READERS: list[tuple[Callable[[Manifest], Manifest], Read, Manifest]] = [
    *((trim.pod, EnginePod.from_manifest, raw_pod(state)) for state in STATES),
    *((trim.pod, running, raw_pod(state)) for state in STATES),
    (trim.deployment, GatewayDeployment.from_manifest, raw_deployment()),
    (trim.inference_service, Neighbour.from_manifest, raw_inference_service()),
]


@pytest.mark.parametrize(("keep", "read", "raw"), READERS)
def test_what_is_read_of_an_object_is_read_alike_of_what_is_kept_of_it(
    keep: Callable[[Manifest], Manifest], read: Read, raw: Manifest
) -> None:
    assert read(keep(raw)) == read(raw)


@pytest.mark.parametrize("read", [EnginePod.from_manifest, running])
def test_every_field_that_is_asked_of_a_pod_is_kept_and_stands_in_the_example(read: Read) -> None:
    asked = set[tuple[str, ...]]().union(*(fields_read(raw_pod(state), read) for state in STATES))
    known = set[tuple[str, ...]]().union(*(fields_of(raw_pod(state)) for state in STATES))
    kept = set[tuple[str, ...]]().union(*(fields_of(trim.pod(raw_pod(state))) for state in STATES))
    assert asked - known == set()
    assert asked - kept == set()


def test_a_deployment_is_read_alike_but_for_the_manifest_itself() -> None:
    raw = raw_deployment()
    whole, kept = EngineDeployment.from_manifest(raw), EngineDeployment.from_manifest(trim.deployment(raw))
    names = set(EngineDeployment.__dataclass_fields__) - {"manifest"}
    assert {name: getattr(kept, name) for name in names} == {name: getattr(whole, name) for name in names}
    assert kept.replica_failure and kept.deleting


def test_what_stands_is_no_drift_when_it_was_trimmed() -> None:
    of, seen = service(), gateway_seen(neighbour("a"), neighbour("b"))
    rendered = (
        *children(of, revision(of), 1, DEFAULTS.gateway),
        *gateway_children(seen, DEFAULTS.gateway),
    )
    for wanted in map(stamped, rendered):
        keep = trim.deployment if wanted["kind"] == "Deployment" else trim.child
        kept = keep(live(copy.deepcopy(wanted)))
        assert holds(kept, wanted), wanted["kind"]
        of_engine = ownership(kept, service_name="demo", service_uid="service-uid")
        assert {of_engine, gateway_ownership(kept)} == {
            ownership(wanted, service_name="demo", service_uid="service-uid"),
            gateway_ownership(wanted),
        }


def test_a_pods_other_conditions_and_a_budgets_counts_are_no_change() -> None:
    raw = raw_pod(STATES[0])
    raw["status"]["conditions"][1]["status"] = "True"
    assert trim.pod(raw) == trim.pod(raw_pod(STATES[0]))
    budget = {"kind": "PodDisruptionBudget", "metadata": META, "spec": {"maxUnavailable": 1}}
    assert trim.child({**budget, "status": {"currentHealthy": 1}}) == trim.child(budget)


def test_equal_texts_of_many_objects_are_one_in_memory() -> None:
    one, other = (trim.pod(copy.deepcopy(raw_pod({"running": {}}))) for _ in range(2))
    assert one["status"]["phase"] is other["status"]["phase"]
    one, other = (trim.child({"spec": {"".join(("ty", "pe")): "".join(("Cluster", "IP"))}}) for _ in range(2))
    assert next(iter(one["spec"])) is next(iter(other["spec"]))
    assert one["spec"]["type"] is other["spec"]["type"]
