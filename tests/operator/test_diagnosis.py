from typing import Any

import pytest
from operator_builders import deployment, ended, pod, raw_pod, revision, service

from octavo_api.names import Reason
from octavo_operator.diagnosis import diagnose, last_failure
from octavo_operator.engine_pod import EnginePod

DEMO = service()
HASH8 = revision(DEMO).hash8
WAITING = deployment(DEMO)


def loop(code: int, message: str = "", restarts: int = 1) -> dict[str, Any]:
    """The container waits for its next start."""
    return {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": ended(code, message),
        "restartCount": restarts,
    }


@pytest.mark.parametrize(
    ("code", "part", "reason", "terminal"),
    [
        (64, "Engine", Reason.INVALID_ENGINE_CONFIG, True),
        (65, "Model", Reason.INVALID_MODEL, True),
        (66, "Engine", Reason.OUT_OF_MEMORY, True),
        (67, "Model", Reason.MODEL_NOT_FOUND, True),
        (68, "Model", Reason.MODEL_AUTH_FAILED, True),
        (69, "Engine", Reason.ACCELERATOR_FAULT, False),
        (75, "Model", Reason.MODEL_FETCH_FAILED, False),
    ],
)
def test_an_exit_code_of_the_engine_is_an_exact_reason(
    code: int, part: str, reason: Reason, terminal: bool
) -> None:
    finding = diagnose(WAITING, [pod(HASH8, **loop(code, "config.json is missing"))])
    assert finding is not None
    assert (finding.part, finding.reason, finding.failed, finding.terminal) == (part, reason, True, terminal)
    assert f"demo-x ended with exit code {code}: config.json is missing; " in finding.message


def test_the_next_try_of_a_failed_engine_does_not_hide_why_it_failed() -> None:
    running = pod(HASH8, state={"running": {}}, lastState=ended(67, "no such folder"))
    finding = diagnose(WAITING, [running])
    assert finding is not None and finding.reason == Reason.MODEL_NOT_FOUND


def test_a_crash_without_words_is_a_crash_loop_with_the_last_line() -> None:
    finding = diagnose(WAITING, [pod(HASH8, **loop(1, "Traceback\nValueError: x", restarts=4))])
    assert finding is not None
    assert (finding.reason, finding.terminal) == (Reason.CRASH_LOOP, False)
    assert "exit code 1 (4 restarts): ValueError: x; see kubectl logs --previous demo-x" in finding.message


def test_one_crash_and_running_again_is_loading() -> None:
    finding = diagnose(WAITING, [pod(HASH8, state={"running": {}}, lastState=ended(137), restartCount=1)])
    assert finding is not None
    assert (finding.reason, finding.failed) == (Reason.LOADING_WEIGHTS, False)


def test_a_container_killed_for_its_memory_is_out_of_memory() -> None:
    finding = diagnose(WAITING, [pod(HASH8, state=ended(137, reason="OOMKilled"))])
    assert finding is not None
    assert (finding.reason, finding.terminal) == (Reason.OUT_OF_MEMORY, True)
    assert "spec.resources.memory" in finding.message


def test_a_pod_without_a_node_says_what_the_scheduler_says() -> None:
    raw = raw_pod(HASH8)
    raw["status"] = {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 no",
            }
        ],
    }
    finding = diagnose(WAITING, [EnginePod.from_manifest(raw)])
    assert finding is not None and finding.reason == Reason.UNSCHEDULABLE
    assert "1 Insufficient nvidia.com/gpu.; add such nodes" in finding.message


def test_a_missing_claim_belongs_to_the_model() -> None:
    raw = raw_pod(HASH8)
    text = '0/1 nodes are available: persistentvolumeclaim "w" not found.'
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
    raw["status"] = {"conditions": [condition]}
    finding = diagnose(WAITING, [EnginePod.from_manifest(raw)])
    assert finding is not None
    assert (finding.part, finding.reason) == ("Model", Reason.CLAIM_NOT_FOUND)
    assert finding.message.startswith("PersistentVolumeClaim w is not there")


def test_the_error_and_the_back_off_of_a_pull_read_the_same() -> None:
    first = {"reason": "ErrImagePull", "message": "failed to pull x"}
    then = {"reason": "ImagePullBackOff", "message": 'Back-off pulling "x": ErrImagePull: failed to pull x'}
    findings = [diagnose(WAITING, [pod(HASH8, state={"waiting": state})]) for state in (first, then)]
    assert findings[0] == findings[1]
    assert findings[0] is not None and findings[0].reason == Reason.IMAGE_PULL_FAILED


def test_a_missing_secret_belongs_to_the_model() -> None:
    state = {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}
    finding = diagnose(WAITING, [pod(HASH8, state={"waiting": state})])
    assert finding is not None
    assert (finding.part, finding.reason, finding.failed) == ("Model", Reason.SECRET_NOT_FOUND, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ('pods "a-1" is forbidden: exceeded quota: q, requested: pods=1', Reason.QUOTA_EXCEEDED),
        ('pods "a-1" is forbidden: violates PodSecurity "restricted:latest": x', Reason.POD_SECURITY_REFUSED),
        ('admission webhook "x" denied the request: no', Reason.ADMISSION_REFUSED),
    ],
)
def test_refused_pods_are_told_with_the_words_of_the_refusal(words: str, reason: Reason) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": words}
    finding = diagnose(deployment(DEMO, conditions=[condition]), [])
    assert finding is not None and (finding.reason, finding.failed) == (reason, True)
    assert words.rpartition(" is forbidden: ")[2] in finding.message
    assert "a-1" not in finding.message


def test_what_needs_a_human_is_told_first() -> None:
    pods = [
        pod(HASH8, name="a", state={"running": {}}),
        pod(HASH8, name="b", **loop(1, restarts=5)),
        pod(HASH8, name="c", **loop(67)),
    ]
    finding = diagnose(deployment(DEMO, replicas=3), pods)
    assert finding is not None and finding.reason == Reason.MODEL_NOT_FOUND


def test_pods_of_other_revisions_and_leaving_ones_say_nothing() -> None:
    leaving = raw_pod(HASH8, **loop(67))
    leaving["metadata"]["deletionTimestamp"] = "2026-11-01T11:40:00Z"
    finding = diagnose(WAITING, [pod("other", **loop(67)), EnginePod.from_manifest(leaving)])
    assert finding is not None and finding.reason == Reason.POD_NOT_STARTED


def test_all_replicas_there_is_no_finding() -> None:
    assert diagnose(deployment(DEMO, ready=1), [pod(HASH8, ready=True)]) is None


def test_the_last_failure_names_pod_code_and_words() -> None:
    failure = last_failure([pod(HASH8, ready=True, state={"running": {}}, lastState=ended(66, "KV cache"))])
    assert failure is not None
    assert (failure.reason, failure.pod, failure.exit_code, failure.message) == (
        *("OutOfMemory", "demo-x"),
        66,
        "KV cache",
    )


def test_the_last_failure_of_a_kill_is_the_last_line_of_the_log() -> None:
    failure = last_failure([pod(HASH8, state=ended(137, "one\ntwo\nthree\n", reason="Error"))])
    assert failure is not None
    assert (failure.reason, failure.exit_code, failure.message) == ("Error", 137, "three")


def test_a_clean_end_is_no_failure() -> None:
    assert last_failure([pod(HASH8, state={"running": {}}, lastState=ended(0))]) is None
