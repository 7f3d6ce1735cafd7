"""Conditions as `kubectl get -o yaml` shows them: type -> (status, reason)."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

from operator_builders import (
    COMMIT,
    DEFAULTS,
    NOW,
    completed,
    deployment,
    ended,
    gateway_seen,
    neighbour,
    observed,
    pod,
    revision,
    service,
)

from octavo_api.names import ConditionType, Reason
from octavo_api.service_status import RevisionStatus, ServiceStatus
from octavo_operator.gateway_reports import EndpointReport, GatewayReport
from octavo_operator.observed import GatewayDefaults, Observed, Refusal, Resolving, Unresolved
from octavo_operator.plan import plan
from octavo_operator.status import status_of

DEMO = service()
HASH8 = revision(DEMO).hash8
READY = pod(HASH8, ready=True, state={"running": {}})


def status(seen: Observed, *refusals: Refusal) -> ServiceStatus:
    return status_of(seen, plan(seen, NOW), refusals, NOW)


def brief(made: ServiceStatus) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in made.conditions}


def test_a_serving_service_is_ready_and_has_no_abnormal_condition() -> None:
    made = status(observed(DEMO, deployments=(deployment(DEMO, ready=1),), pods=(READY,)))
    assert brief(made) == {
        "Ready": ("True", "Ready"),
        "Available": ("True", "Available"),
        "Progressing": ("True", "RolloutComplete"),
        "ModelReady": ("True", "ModelLoaded"),
        "EngineReady": ("True", "WarmedUp"),
        "GatewayReady": ("True", "GatewayReady"),
    }
    assert replace(made, conditions=()) == ServiceStatus(
        observed_generation=1,
        phase="Ready",
        replicas=1,
        ready_replicas=1,
        updated_replicas=1,
        available_replicas=1,
        selector="serving.octavo.dev/service=demo",
        url="http://demo.team.svc",
        current_revision=HASH8,
        update_revision=HASH8,
        revisions=(RevisionStatus(name=HASH8, weight_percent=100, replicas=1, ready_replicas=1),),
        model_commit=COMMIT,
        rollout=completed(DEMO, started_at="2026-11-01T12:00:00Z"),
    )


def test_the_first_status_says_that_it_is_not_known_yet() -> None:
    made = status(observed(DEMO, resolution=Resolving("asking the hub")))
    assert brief(made) == {
        "Ready": ("Unknown", "ResolvingModel"),
        "Available": ("False", "NoReadyReplicas"),
        "Progressing": ("Unknown", "WaitingForModel"),
        "ModelReady": ("Unknown", "ResolvingModel"),
        "EngineReady": ("Unknown", "WaitingForModel"),
        "GatewayReady": ("True", "GatewayReady"),
        "Reconciling": ("True", "ResolvingModel"),
    }


def test_loading_is_unknown_and_not_a_failure() -> None:
    loading = pod(HASH8, state={"running": {}})
    made = status(observed(DEMO, deployments=(deployment(DEMO),), pods=(loading,)))
    assert brief(made) == {
        "Ready": ("Unknown", "LoadingWeights"),
        "Available": ("False", "NoReadyReplicas"),
        "Progressing": ("True", "Scaling"),
        "ModelReady": ("Unknown", "LoadingWeights"),
        "EngineReady": ("Unknown", "LoadingWeights"),
        "GatewayReady": ("True", "GatewayReady"),
        "Reconciling": ("True", "LoadingWeights"),
    }


def test_a_terminal_exit_is_stalled_and_no_longer_reconciling() -> None:
    failed = pod(HASH8, state=ended(67, "no config.json"))
    made = status(observed(DEMO, deployments=(deployment(DEMO),), pods=(failed,)))
    assert brief(made) == {
        "Ready": ("False", "ModelNotFound"),
        "Available": ("False", "NoReadyReplicas"),
        "Progressing": ("True", "Scaling"),
        "ModelReady": ("False", "ModelNotFound"),
        "EngineReady": ("False", "WaitingForModel"),
        "GatewayReady": ("True", "GatewayReady"),
        "Stalled": ("True", "ModelNotFound"),
    }
    assert made.last_failure is not None and made.last_failure.exit_code == 67


def test_a_failed_fetch_is_tried_again_and_not_stalled() -> None:
    failed = pod(HASH8, state=ended(75, "connection refused"))
    made = brief(status(observed(DEMO, deployments=(deployment(DEMO),), pods=(failed,))))
    assert made["ModelReady"] == ("False", "ModelFetchFailed")
    assert "Stalled" not in made and made["Reconciling"][0] == "True"


def test_an_engine_failure_is_not_the_models() -> None:
    failed = pod(HASH8, state=ended(66, "needs 3 GiB"))
    made = brief(status(observed(DEMO, deployments=(deployment(DEMO),), pods=(failed,))))
    assert made["EngineReady"] == ("False", "OutOfMemory")
    assert made["ModelReady"][0] == "Unknown"
    assert made["Ready"] == ("False", "OutOfMemory")


def test_during_a_rollout_the_old_revision_keeps_it_available() -> None:
    new = service(model={"uri": "hf://org/new"})
    both = (deployment(DEMO, ready=1), deployment(new))
    made = status(observed(new, deployments=both, pods=(READY,)))
    assert brief(made) == {
        "Ready": ("Unknown", "PodNotStarted"),
        "Available": ("True", "Available"),
        "Progressing": ("True", "NewRevision"),
        "ModelReady": ("Unknown", "ModelResolved"),
        "EngineReady": ("Unknown", "PodNotStarted"),
        "GatewayReady": ("True", "GatewayReady"),
        "Reconciling": ("True", "PodNotStarted"),
    }
    assert (made.current_revision, made.update_revision) == (HASH8, revision(new).hash8)
    assert (made.replicas, made.updated_replicas, made.phase) == (1, 1, "Updating")


def test_it_is_not_ready_before_the_old_revision_is_gone() -> None:
    new = service(model={"uri": "hf://org/new"})
    both = (deployment(DEMO, ready=1), deployment(new, ready=1))
    assert brief(status(observed(new, deployments=both)))["Ready"] == ("Unknown", "NewRevision")


def test_it_is_not_ready_before_what_is_only_being_written_holds() -> None:
    patient = service(rollout={"progressDeadlineSeconds": 1234})
    made = status(observed(patient, deployments=(deployment(DEMO, ready=1),), pods=(READY,)))
    assert brief(made)["Ready"] == ("Unknown", "Scaling")
    assert brief(made)["Progressing"] == ("True", "Scaling")
    seen = observed(patient, deployments=(deployment(patient, ready=1),), pods=(READY,))
    assert brief(status(seen))["Ready"] == ("True", "Ready")


def test_what_a_webhook_makes_of_a_deployment_holds_no_rollout_up() -> None:
    mirrored = deployment(DEMO, ready=1)
    manifest = copy.deepcopy(mirrored.manifest)
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "mirror.example/octavo/engine:1"
    made = status(observed(DEMO, deployments=(replace(mirrored, manifest=manifest),), pods=(READY,)))
    assert brief(made)["Ready"] == ("True", "Ready")


def test_no_progress_in_time_is_stalled_with_the_reason_behind_it() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    waiting = pod(HASH8, state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    made = status(observed(DEMO, deployments=(deployment(DEMO, conditions=[late]),), pods=(waiting,)))
    assert brief(made)["Stalled"] == ("True", "ProgressDeadlineExceeded")
    assert brief(made)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    stalled = made.condition(ConditionType.STALLED)
    assert stalled is not None and "(1800): 0/1 replicas" in stalled.message
    assert "no such image" in stalled.message


def test_a_hub_that_refuses_is_false_and_one_that_is_away_is_unknown() -> None:
    refused = Unresolved(Reason.MODEL_AUTH_FAILED, "refused", terminal=True)
    away = Unresolved(Reason.MODEL_FETCH_FAILED, "no answer", terminal=False)
    made = brief(status(observed(DEMO, resolution=refused)))
    assert (made["ModelReady"], made["Stalled"]) == (
        ("False", "ModelAuthFailed"),
        ("True", "ModelAuthFailed"),
    )
    made = brief(status(observed(DEMO, resolution=away)))
    assert made["ModelReady"] == ("Unknown", "ModelFetchFailed")
    assert "Stalled" not in made


def test_a_refused_child_makes_it_stalled_even_when_engines_run() -> None:
    refusal = Refusal(child="Service demo", reason=Reason.NAME_TAKEN, message="not ours", terminal=True)
    seen = observed(DEMO, deployments=(deployment(DEMO, ready=1),), pods=(READY,))
    made = brief(status(seen, refusal))
    assert made["Ready"] == ("False", "NameTaken")
    assert made["Stalled"] == ("True", "NameTaken")
    assert made["EngineReady"] == ("True", "WarmedUp")


def test_a_service_without_a_gateway_is_not_ready_though_its_engines_are() -> None:
    serving: dict[str, Any] = {"deployments": (deployment(DEMO, ready=1),), "pods": (READY,)}
    made = brief(status(observed(DEMO, gateway=gateway_seen(available=0), **serving)))
    assert made["GatewayReady"] == ("Unknown", "GatewayStarting")
    assert made["Ready"] == ("Unknown", "GatewayStarting")
    assert made["Reconciling"] == ("True", "GatewayStarting")


def test_a_served_name_of_an_older_service_is_stalled_and_the_engines_are_not_blamed() -> None:
    older = neighbour("older", served_names=("demo",))
    serving: dict[str, Any] = {"deployments": (deployment(DEMO, ready=1),), "pods": (READY,)}
    made = brief(status(observed(DEMO, gateway=gateway_seen(older, neighbour()), **serving)))
    assert made["Ready"] == ("False", "DuplicateServedName")
    assert made["Stalled"] == ("True", "DuplicateServedName")
    assert (made["EngineReady"], made["Available"]) == (("True", "WarmedUp"), ("True", "Available"))


def test_behind_a_certificate_the_url_is_https() -> None:
    defaults = replace(DEFAULTS, gateway=GatewayDefaults(tls_secret="certificate"))
    assert status(observed(DEMO, defaults=defaults)).url == "https://demo.team.svc"


def test_zero_replicas_as_asked_for_is_ready() -> None:
    none = service(replicas=0)
    made = brief(status(observed(none, deployments=(deployment(none, replicas=0),))))
    assert made["Ready"] == ("True", "ScaledToZero")
    assert made["Available"] == ("True", "ScaledToZero")
    assert "Reconciling" not in made


def test_an_unreadable_spec_is_stalled_and_the_counts_stay() -> None:
    before = ServiceStatus(replicas=2, ready_replicas=2)
    seen = Observed(
        key=observed(DEMO).key, exists=True, generation=4, status=before, invalid="spec.model.uri 'x': bad"
    )
    made = status_of(seen, plan(seen, NOW), (), NOW)
    assert brief(made) == {"Ready": ("False", "InvalidSpec"), "Stalled": ("True", "InvalidSpec")}
    assert (made.observed_generation, made.replicas, made.ready_replicas) == (4, 2, 2)


def test_the_same_world_later_gives_the_same_status() -> None:
    seen = observed(DEMO, deployments=(deployment(DEMO),), pods=(pod(HASH8, state={"running": {}}),))
    first = status(seen)
    again = replace(seen, status=first)
    assert status_of(again, plan(again, NOW), (), NOW + timedelta(hours=1)) == first


def test_the_transition_time_moves_with_the_status_alone() -> None:
    loading = observed(DEMO, deployments=(deployment(DEMO),), pods=(pod(HASH8, state={"running": {}}),))
    first = status(loading)
    ready = observed(DEMO, deployments=(deployment(DEMO, ready=1),), pods=(READY,), status=first)
    later = status_of(ready, plan(ready, NOW), (), NOW + timedelta(minutes=5))
    times = {condition.type: condition.last_transition_time for condition in later.conditions}
    assert times["Ready"] == "2026-11-01T12:05:00Z"
    assert times["Progressing"] == "2026-11-01T12:00:00Z"


def test_the_last_failure_outlives_the_pod() -> None:
    failed = observed(DEMO, deployments=(deployment(DEMO),), pods=(pod(HASH8, state=ended(66, "x")),))
    healed: dict[str, Any] = {"deployments": (deployment(DEMO, ready=1),), "pods": (READY,)}
    later = status(observed(DEMO, status=status(failed), **healed))
    assert later.last_failure is not None and later.last_failure.reason == "OutOfMemory"


def test_a_status_survives_the_way_through_the_api_server() -> None:
    made = status(observed(DEMO, deployments=(deployment(DEMO),), pods=(pod(HASH8, state=ended(66, "x")),)))
    assert ServiceStatus.from_manifest(made.to_manifest()) == made


def test_during_a_surge_replicas_are_what_was_asked_for_and_revisions_say_the_rest() -> None:
    new = service(model={"uri": "hf://org/new"})
    both = (deployment(DEMO, ready=1), deployment(new, ready=1, created=NOW))
    name = revision(new).hash8
    pods = (READY, pod(name, name="new", ready=True))
    made = status(observed(new, deployments=both, pods=pods))
    assert made.replicas == 1
    assert made.revisions == (
        RevisionStatus(name=name, weight_percent=50, replicas=1, ready_replicas=1),
        RevisionStatus(name=HASH8, weight_percent=50, replicas=1, ready_replicas=1),
    )


def test_history_is_in_no_count_and_holds_up_nothing() -> None:
    new = service(model={"uri": "hf://org/new"})
    history = deployment(DEMO, replicas=0)
    pods = (pod(revision(new).hash8, ready=True),)
    made = status(observed(new, deployments=(history, deployment(new, ready=1)), pods=pods))
    assert brief(made)["Ready"] == ("True", "Ready")
    assert [item.name for item in made.revisions] == [revision(new).hash8]


def test_a_drain_is_told_with_what_it_waits_for() -> None:
    draining = pod(HASH8, name="demo-y", ready=True, draining=NOW)
    two = (deployment(DEMO, ready=2, replicas=2),)
    report = EndpointReport(uid="uid-demo-y", draining=True, in_flight=3)
    gateways = (GatewayReport(pod="g", synced=True, endpoints={"demo-y": report}),)
    made = status(observed(DEMO, deployments=two, pods=(READY, draining), gateway_reports=gateways))
    assert brief(made)["Ready"] == ("Unknown", "Scaling")
    progressing = made.condition(ConditionType.PROGRESSING)
    assert progressing is not None
    assert progressing.message.endswith("; draining pod demo-y")


def test_a_paused_rollout_says_how_to_go_on() -> None:
    new = service(model={"uri": "hf://org/new"}, rollout={"paused": True})
    made = status(observed(new, deployments=(deployment(DEMO, ready=1),), pods=(READY,)))
    assert brief(made) == {
        "Ready": ("Unknown", "RolloutPaused"),
        "Available": ("True", "Available"),
        "Progressing": ("Unknown", "RolloutPaused"),
        "ModelReady": ("Unknown", "ModelResolved"),
        "EngineReady": ("Unknown", "RolloutPaused"),
        "GatewayReady": ("True", "GatewayReady"),
        "Reconciling": ("True", "RolloutPaused"),
    }
    paused = made.condition(ConditionType.PROGRESSING)
    assert paused is not None and paused.message.endswith("set it to false to go on")
