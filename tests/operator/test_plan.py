"""Plans as a table of claims: what is seen, and what is then written."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from operator_builders import NOW, completed, deployment, live, observed, passed, pod, revision, service

from octavo_api.names import Reason
from octavo_api.service_status import ServiceStatus
from octavo_api.spec import InferenceService
from octavo_operator.drift import stamped
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.gateway_reports import EndpointReport, GatewayReport
from octavo_operator.observed import (
    GatewayDefaults,
    ObjectKey,
    Observed,
    OperatorDefaults,
    Resolved,
    Resolving,
    Unresolved,
)
from octavo_operator.plan import Plan, Scale, plan
from octavo_operator.render import children


def converged(demo: InferenceService, **fields: Any) -> Observed:
    stand = [
        live(stamped(manifest))
        for manifest in children(demo, revision(demo), demo.replicas, GatewayDefaults())
    ]
    counts = dict.fromkeys(
        ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), demo.replicas
    )
    stand[2]["status"] |= counts
    deployments = (EngineDeployment.from_manifest(stand[2]),)
    fields.setdefault("status", ServiceStatus(rollout=completed(demo)))
    return observed(demo, **{"others": tuple(stand[:2]), "deployments": deployments} | fields)


def applied(todo: Plan) -> list[str]:
    return [manifest["kind"] for manifest in todo.apply]


def test_a_new_service_gets_all_its_children() -> None:
    todo = plan(observed(service()), NOW)
    assert applied(todo) == ["Service", "PodDisruptionBudget", "Deployment"]
    assert todo.delete == ()


def test_a_converged_service_plans_nothing() -> None:
    todo = plan(converged(service()), NOW)
    assert (todo.apply, todo.delete, todo.requeue_after, todo.reasons) == ((), (), None, ())


def test_a_token_is_made_once_and_never_again() -> None:
    (token,) = plan(converged(service(), has_token=False, fresh_token="random"), NOW).create
    assert token["stringData"] == {"token": "random"}
    todo = plan(converged(service(), has_token=True, fresh_token="other"), NOW)
    assert todo.create == ()


def test_a_missing_child_comes_back_alone() -> None:
    seen = converged(service())
    assert applied(plan(replace(seen, others=seen.others[:1]), NOW)) == ["PodDisruptionBudget"]


def test_a_changed_field_of_ours_is_repaired() -> None:
    seen = converged(service())
    seen.others[0]["spec"]["selector"] = {"x": "y"}
    assert applied(plan(seen, NOW)) == ["Service"]


def test_a_field_of_somebody_else_is_left_alone() -> None:
    seen = converged(service())
    seen.others[0]["metadata"]["annotations"]["cloud/load-balancer"] = "yes"
    seen.others[0]["spec"]["clusterIP"] = "10.0.0.1"
    assert applied(plan(seen, NOW)) == []


def test_a_field_that_the_user_took_back_is_written_again_without_it() -> None:
    seen = converged(service(service={"annotations": {"a": "b"}}))
    assert applied(plan(replace(seen, service=service()), NOW)) == ["Service"]


def test_replicas_are_written_to_the_same_revision() -> None:
    seen = converged(service())
    (deployment,) = plan(replace(seen, service=service(replicas=3)), NOW).apply
    assert deployment["metadata"]["name"] == seen.deployments[0].name
    assert deployment["spec"]["replicas"] == 3


def test_an_upgraded_operator_or_a_moved_branch_rolls_nothing() -> None:
    upgraded = OperatorDefaults(engine_image="octavo/engine:2", hub_endpoint="https://hub")
    seen = converged(service(), defaults=upgraded, resolution=Resolved("f" * 40))
    assert plan(seen, NOW).apply == ()


def test_a_changed_model_comes_up_beside_the_old_one() -> None:
    seen = converged(service())
    new = service(model={"uri": "hf://org/new"})
    todo = plan(replace(seen, service=new, preflights=passed(new)), NOW)
    assert applied(todo) == ["Deployment"]
    assert todo.apply[0]["metadata"]["name"] != seen.deployments[0].name
    assert todo.delete == ()


def test_a_changed_model_is_asked_about_before_it_gets_a_pod() -> None:
    seen = converged(service())
    new = service(model={"uri": "hf://org/new"})
    asked = plan(replace(seen, service=new), NOW)
    assert (applied(asked), asked.scale, asked.goal) == (["Job"], (), None)
    (running,) = passed(new).values()
    running = replace(running, job={**running.job, "status": {}})
    waits = plan(replace(seen, service=new, preflights={running.revision: running}), NOW)
    assert (waits.apply, waits.scale) == ((), ())
    assert waits.requeue_after is not None


def test_a_preflight_goes_when_its_answer_has_been_used() -> None:
    seen = converged(service())
    assert [
        item.revision for item in plan(replace(seen, preflights=passed(service())), NOW).spent_preflights
    ] == [seen.deployments[0].revision]


def with_old_revision(*, replicas: int, limit: int = 3) -> tuple[Observed, EngineDeployment]:
    """A converged service that has rolled from another model, whose pods are gone."""
    new = converged(service(model={"uri": "hf://org/new"}, rollout={"revisionHistoryLimit": limit}))
    old = deployment(service(), replicas=replicas)
    return replace(new, deployments=(old, *new.deployments)), old


def test_the_replaced_revision_stays_as_history_without_pods() -> None:
    seen, old = with_old_revision(replicas=1)
    todo = plan(seen, NOW)
    assert (todo.scale, todo.delete) == ((Scale(deployment=old, replicas=0),), ())
    seen, _ = with_old_revision(replicas=0)
    assert plan(seen, NOW).reasons == ()


def test_history_beyond_its_limit_is_deleted_and_the_reason_says_so() -> None:
    seen, old = with_old_revision(replicas=0, limit=0)
    todo = plan(seen, NOW)
    assert todo.delete == (old,) and todo.takes_away
    assert todo.reasons == (f"delete Deployment {old.name}: spec.rollout.revisionHistoryLimit",)


def test_the_way_back_of_a_young_revision_is_the_last_of_its_history_to_go() -> None:
    seen, old = with_old_revision(replicas=0, limit=1)
    younger = deployment(service(model={"uri": "hf://org/other"}), replicas=0, created=NOW)
    seen = replace(seen, deployments=(*seen.deployments, younger))
    assert plan(seen, NOW).delete == (old,)
    assert seen.status.rollout is not None
    young = replace(seen.status.rollout, previous=old.revision, completed_at="2026-11-01T11:00:00Z")
    seen = replace(seen, status=replace(seen.status, rollout=young))
    assert plan(seen, NOW).delete == (younger,)


def test_paused_or_unresolved_no_history_is_deleted() -> None:
    seen, _ = with_old_revision(replicas=0, limit=0)
    paused = {"paused": True, "revisionHistoryLimit": 0}
    assert plan(replace(seen, service=service(rollout=paused, replicas=0)), NOW).delete == ()
    nowhere = service(model={"uri": "hf://org/nope"}, rollout={"revisionHistoryLimit": 0})
    assert plan(replace(seen, service=nowhere, resolution=Resolving("asking")), NOW).delete == ()


def test_going_back_uses_the_old_revision_again() -> None:
    seen, old = with_old_revision(replicas=0)
    (applied_again,) = plan(replace(seen, service=service()), NOW).apply
    assert (applied_again["metadata"]["name"], applied_again["spec"]["replicas"]) == (old.name, 1)


def test_a_victim_is_marked_first_and_its_replica_taken_when_the_release_was_seen() -> None:
    seen = converged(service(replicas=2))
    name = seen.deployments[0].revision
    kept = pod(name, name="a", ready=True)

    def todo(**victim: Any) -> Plan:
        report = EndpointReport(uid="uid-b", draining="draining" in victim, in_flight=victim.pop("busy", 0))
        pods = (kept, pod(name, name="b", ready=True, **victim))
        gateways = (GatewayReport(pod="g", synced=True, endpoints={"b": report}),)
        return plan(replace(seen, service=service(), pods=pods, gateway_reports=gateways), NOW)

    first, busy = todo(busy=2), todo(draining=NOW, busy=2)
    released, seen_released = todo(draining=NOW), todo(draining=NOW, released=True)
    assert [item.released for item in first.marks] == [False]
    assert [event.reason for event in first.events] == ["DrainStarted"]
    assert (busy.marks, busy.requeue_after) == ((), timedelta(seconds=0.5))
    assert [item.released for item in released.marks] == [True] and released.requeue_after == timedelta(0)
    assert first.apply == busy.apply == released.apply == ()
    assert [manifest["spec"]["replicas"] for manifest in seen_released.apply] == [1]
    assert all(plan.takes_away for plan in (first, released, seen_released)) and not busy.takes_away


def test_a_pod_that_is_wanted_again_is_called_back() -> None:
    seen = converged(service())
    draining = pod(seen.deployments[0].revision, ready=True, draining=NOW)
    todo = plan(replace(seen, pods=(draining,)), NOW)
    assert (todo.call_back, todo.marks, todo.apply) == ((draining,), (), ())


def test_a_rollout_is_told_once_as_it_begins() -> None:
    seen = converged(service())
    ready = pod(seen.deployments[0].revision, ready=True)
    new = service(model={"uri": "hf://org/new"})
    todo = plan(replace(seen, pods=(ready,), service=new, preflights=passed(new)), NOW)
    assert [event.reason for event in todo.events] == ["RolloutStarted"]
    assert plan(seen, NOW).events == ()


def test_an_unresolved_model_keeps_what_runs_and_is_asked_for_again() -> None:
    seen = converged(service())
    failed = Unresolved(Reason.MODEL_NOT_FOUND, "no such repository", terminal=True)
    todo = plan(replace(seen, service=service(model={"uri": "hf://org/nope"}), resolution=failed), NOW)
    assert (todo.apply, todo.delete, todo.unresolved) == ((), (), failed)
    assert todo.requeue_after == timedelta(seconds=30)


def test_service_and_budget_do_not_wait_for_the_model() -> None:
    todo = plan(observed(service(), resolution=Resolving("asking")), NOW)
    assert applied(todo) == ["Service", "PodDisruptionBudget"]


def test_a_local_folder_without_a_root_is_refused_with_the_remedy() -> None:
    demo = service(model={"uri": "file:///a"})
    todo = plan(observed(demo, defaults=OperatorDefaults(engine_image="e"), resolution=Resolved()), NOW)
    assert isinstance(todo.unresolved, Unresolved)
    assert (todo.unresolved.reason, todo.unresolved.terminal) == (Reason.MODEL_ROOT_NOT_CONFIGURED, True)
    assert "--model-root" in todo.unresolved.message


def test_a_service_that_is_being_deleted_gets_no_children() -> None:
    assert plan(observed(service(), deleting=True), NOW) == Plan()


def test_an_absent_or_unreadable_service_is_left_alone() -> None:
    assert plan(Observed(key=ObjectKey("a", "b"), exists=False), NOW) == Plan()
    assert plan(Observed(key=ObjectKey("a", "b"), exists=True, invalid="spec.x: bad"), NOW) == Plan()
