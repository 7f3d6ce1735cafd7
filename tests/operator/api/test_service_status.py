"""A status is read back as it was written."""

import pytest

from octavo_api.names import ConditionType
from octavo_api.service_status import Condition, LastFailure, RevisionStatus, ServiceStatus

READY = Condition(
    type="Ready",
    status="False",
    reason="OutOfMemory",
    message="the weights need 3 GiB",
    observed_generation=3,
    last_transition_time="2026-01-01T00:00:00Z",
)
FULL = ServiceStatus(
    observed_generation=3,
    conditions=(READY,),
    phase="Failed",
    replicas=4,
    ready_replicas=3,
    updated_replicas=2,
    available_replicas=1,
    selector="serving.octavo.dev/service=a",
    url="http://a.b.svc",
    current_revision="a-1",
    update_revision="a-2",
    revisions=(
        RevisionStatus(name="a-1", weight_percent=75, replicas=3, ready_replicas=3),
        RevisionStatus(name="a-2", weight_percent=25, replicas=1, ready_replicas=0),
    ),
    model_commit="12fd25f",
    last_failure=LastFailure(
        reason="OutOfMemory", pod="a-2-x", container="engine", exit_code=66, message="the weights need 3 GiB"
    ),
)


@pytest.mark.parametrize("status", [FULL, ServiceStatus()])
def test_a_status_survives_writing_and_reading(status: ServiceStatus) -> None:
    assert ServiceStatus.from_manifest(status.to_manifest()) == status


def test_a_service_that_nobody_looked_at_has_an_empty_status() -> None:
    assert ServiceStatus.from_manifest({}) == ServiceStatus()


def test_what_is_unknown_is_not_written() -> None:
    assert ServiceStatus().to_manifest() == {
        "observedGeneration": 0,
        "conditions": [],
        "replicas": 0,
        "readyReplicas": 0,
        "updatedReplicas": 0,
        "availableReplicas": 0,
    }


def test_a_condition_is_found_by_its_type() -> None:
    assert FULL.condition(ConditionType.READY) == READY
    assert FULL.condition(ConditionType.STALLED) is None
