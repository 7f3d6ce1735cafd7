"""What a Job and its pods say about a revision."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from operator_builders import BEFORE, NOW, deployment, ended, live, observed, revision, service

from octavo_api.names import EXIT_CODES, Reason
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.observed import Manifest
from octavo_operator.preflight import PreflightView, preflight_wanted, preflights_to_delete
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.render.preflight import preflight_job

DEMO = service()
HASH8 = revision(DEMO).hash8
JOB = f"demo-{HASH8}-preflight"
POD = f"{JOB}-a"


def pod(name: str = POD, *, made: datetime = NOW, owner: str = f"uid-{JOB}", **status: Any) -> Manifest:
    """`status` is the pod's, or the state of its container."""
    states = {key: status.pop(key) for key in ("state",) if key in status}
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": made.isoformat(),
            "ownerReferences": [{"controller": True, "uid": owner}],
        },
        "status": {"containerStatuses": [{"name": "engine", **states}], **status},
    }


def with_end(code: int, message: str = "", reason: str = "Error", **fields: Any) -> Manifest:
    return pod(state=ended(code, message, reason), phase="Succeeded" if code == 0 else "Failed", **fields)


def seen(*pods: Manifest, condition: str = "", **fields: str) -> PreflightSeen:
    conditions = [{"type": condition, "status": "True", **fields}] if condition else []
    job = live(preflight_job(DEMO, revision(DEMO)), startTime=NOW.isoformat(), conditions=conditions)
    return PreflightSeen.of(job, pods)


def view(*pods: Manifest, after: float = 0, **job: str) -> PreflightView:
    return PreflightView.of(seen(*pods, **job), NOW + timedelta(seconds=after))


def told(outcome: str, reason: Reason, message: str) -> PreflightView:
    return PreflightView(
        revision=HASH8,
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        message=f"preflight of revision {HASH8}: {message}",
    )


def test_without_a_job_nothing_is_known_and_one_that_goes_is_none() -> None:
    assert PreflightView.of(None, NOW).outcome == "unknown"
    going = seen(with_end(0))
    going.job["metadata"]["deletionTimestamp"] = NOW.isoformat()
    assert PreflightView.of(going, NOW).outcome == "unknown"


def test_what_the_check_says_of_a_good_revision_is_passed_on() -> None:
    passed = told("passed", Reason.PREFLIGHT, "fits: 8 tokens of context")
    assert view(with_end(0, "fits: 8 tokens of context")) == passed
    assert view(with_end(0, "fits: 8 tokens of context"), condition="Complete") == passed


def test_a_complete_job_whose_pod_is_gone_has_passed() -> None:
    assert view(condition="Complete") == told("passed", Reason.PREFLIGHT, "passed")


@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        (64, "unrecognized arguments: --bogus", "correct spec.engine"),
        (65, "no config.json", "correct the model's files"),
        (66, "the weights take 256 MiB and the cpu offers 90 MiB", "raise spec.resources.memory"),
        (67, "there is no folder /model/x", "correct spec.model.uri"),
        (68, "gated", "give spec.model.secretRef a token"),
    ],
)
def test_what_the_check_finds_fails_it_at_once_with_number_and_remedy(
    code: int, words: str, remedy: str
) -> None:
    found = view(with_end(code, f"cannot be served: {words}"))
    assert (found.outcome, found.reason) == ("failed", EXIT_CODES[code])
    expected = f"preflight of revision {HASH8}: the check ended with exit code {code}: {words}; {remedy}"
    assert found.message.startswith(expected)
    assert view(with_end(code, f"cannot be served: {words}"), condition="Failed") == found


def test_a_hub_that_cannot_be_reached_is_asked_again_until_the_job_gives_up() -> None:
    tries = (with_end(75, "no route"), with_end(75, "older", name="b", made=BEFORE))
    text = "the check ended with exit code 75: no route"
    again = told("running", Reason.MODEL_FETCH_FAILED, f"{text}; it is tried again")
    assert view(*tries) == again
    third = {"name": "c", "made": NOW + timedelta(seconds=1)}
    assert view(*tries, pod(**third, state={"running": {}})) == again
    stuck = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    assert view(*tries, pod(**third, state=stuck)).reason == Reason.IMAGE_PULL_FAILED
    assert view(*tries, condition="Failed", reason="BackoffLimitExceeded") == told(
        "failed", Reason.MODEL_FETCH_FAILED, f"{text}; given up after 2 tries"
    )


def test_a_check_that_dies_says_so_and_is_not_taken_for_an_engine() -> None:
    killed = view(with_end(137, reason="OOMKilled"), condition="Failed")
    assert killed == told(
        "failed",
        Reason.CRASH_LOOP,
        "the check was killed for using more than its own 1Gi of memory; given up after 1 try; "
        f"see kubectl logs {POD}",
    )
    crashed = view(with_end(1, "Traceback\nValueError: x"))
    assert crashed == told(
        "running",
        Reason.CRASH_LOOP,
        f"the check ended with exit code 1: ValueError: x; it is tried again; see kubectl logs {POD}",
    )


def test_a_pod_that_starts_or_runs_is_nothing_to_complain_of() -> None:
    assert view(pod(state={"running": {}})) == told(
        "running", Reason.PREFLIGHT, f"pod {POD} checks the model"
    )
    starting = pod(state={"waiting": {"reason": "ContainerCreating"}})
    assert view(starting, after=1799) == told("running", Reason.PREFLIGHT, f"pod {POD} is being started")


def test_whatever_it_does_it_ends_with_the_rollout_s_own_deadline() -> None:
    late = view(pod(state={"running": {}}), after=1800)
    assert late == told(
        "failed",
        Reason.PROGRESS_DEADLINE_EXCEEDED,
        f"given up after 1800 seconds: pod {POD} checks the model",
    )


def test_a_job_that_timed_out_while_nobody_looked_has_failed() -> None:
    assert view(condition="Failed", reason="DeadlineExceeded") == told(
        "failed", Reason.PROGRESS_DEADLINE_EXCEEDED, "no answer within 1800 seconds"
    )
    assert view(condition="Failed", reason="X", message="odd") == told(
        "failed", Reason.PREFLIGHT_FAILED, f"Job {JOB}: odd"
    )


def test_an_image_that_cannot_be_pulled_is_told_at_once_and_given_up_after_five_minutes() -> None:
    stuck = pod(state={"waiting": {"reason": "ErrImagePull", "message": "no such image"}})
    text = f"pod {POD}: no such image; correct spec.engine.image or spec.pod.imagePullSecrets"
    assert view(stuck, after=299) == told(
        "running", Reason.IMAGE_PULL_FAILED, f"{text}; it counts as failed after 300 seconds"
    )
    assert view(stuck, after=300) == told(
        "failed", Reason.IMAGE_PULL_FAILED, f"given up after 300 seconds: {text}"
    )


def test_the_patience_with_a_pod_begins_with_that_pod() -> None:
    stuck = pod(
        made=NOW + timedelta(seconds=200),
        state={"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
    )
    assert view(stuck, after=499).outcome == "running"
    assert view(stuck, after=500).outcome == "failed"


def test_a_node_may_take_as_long_to_come_as_the_rollout() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    waiting = pod(conditions=[condition], phase="Pending")
    found = view(waiting, after=1799)
    assert (found.outcome, found.reason) == ("running", Reason.UNSCHEDULABLE)
    assert "0/1 nodes" in found.message and found.message.endswith("counts as failed after 1800 seconds")
    found = view(waiting, after=1800)
    assert (found.outcome, found.reason) == ("failed", Reason.UNSCHEDULABLE)


def test_a_job_whose_pods_are_refused_is_given_up_after_five_minutes() -> None:
    assert view(after=299).outcome == "running"
    found = view(after=300)
    assert (found.outcome, found.reason) == ("failed", Reason.POD_NOT_STARTED)
    assert f"kubectl describe job {JOB} says why" in found.message


def unstarted_job(after: float, **spec: object) -> PreflightView:
    job = live(preflight_job(DEMO, revision(DEMO)), NOW)
    job["spec"] = job["spec"] | spec
    return PreflightView.of(PreflightSeen.of(job, ()), NOW + timedelta(seconds=after))


def test_a_job_that_nobody_starts_is_given_up_after_the_same_time_from_when_it_was_made() -> None:
    assert unstarted_job(299).outcome == "running"
    found = unstarted_job(300)
    assert (found.outcome, found.reason) == ("failed", Reason.POD_NOT_STARTED)


def test_a_suspended_job_has_as_long_as_the_rollout_and_says_what_it_waits_for() -> None:
    text = f"Job {JOB} is suspended; whoever suspended it, such as a job queue, must let it run"
    assert unstarted_job(1799, suspend=True) == told(
        "running", Reason.POD_NOT_STARTED, f"{text}; it counts as failed after 1800 seconds"
    )
    assert unstarted_job(1800, suspend=True) == told(
        "failed", Reason.POD_NOT_STARTED, f"given up after 1800 seconds: {text}"
    )


def test_pods_of_a_deleted_namesake_do_not_count() -> None:
    assert view(with_end(0, owner="another")).outcome == "running"


OLD = service(resources={"memory": "1Gi"})


def old(**fields: Any) -> EngineDeployment:
    return deployment(OLD, ready=1, **fields)


def test_a_revision_is_asked_about_before_it_stands_beside_pods_of_another() -> None:
    assert preflight_wanted(observed(DEMO, deployments=(old(),)), HASH8)


@pytest.mark.parametrize(
    ("deployments", "update"),
    [
        pytest.param((), HASH8, id="the first revision has nothing to lose"),
        pytest.param((old(replicas=0),), HASH8, id="no other has pods"),
        pytest.param((replace(old(), deleting=True),), HASH8, id="the other goes anyway"),
        pytest.param((old(), deployment(DEMO)), HASH8, id="it stands already"),
        pytest.param((old(),), None, id="the wanted revision is not known"),
    ],
)
def test_no_preflight_is_made_where_nothing_is_at_stake(
    deployments: tuple[EngineDeployment, ...], update: str | None
) -> None:
    assert not preflight_wanted(observed(DEMO, deployments=deployments), update)


def test_a_paused_rollout_asks_nothing() -> None:
    paused = service(rollout={"paused": True})
    assert not preflight_wanted(observed(paused, deployments=(old(),)), HASH8)


def test_preflights_of_other_revisions_are_deleted_once() -> None:
    going = PreflightSeen({"metadata": {"name": "x", "uid": "x", "labels": {}, "deletionTimestamp": "now"}})
    mine = seen()
    world = observed(DEMO, preflights={HASH8: mine, "": going})
    assert preflights_to_delete(world, HASH8) == ()
    assert preflights_to_delete(world, "other") == preflights_to_delete(world, None) == (mine,)
