"""Exhausted accelerators are told from the scheduler's words, with pod, need and what is free."""

from dataclasses import replace

import pytest
from operator_builders import deployment, pod, revision, service

from octavo_api.names import Reason
from octavo_operator.diagnosis import diagnose
from octavo_operator.engine_pod import EnginePod
from octavo_operator.shortage import accelerator_shortage

DEMO = service(accelerator={})
HASH8 = revision(DEMO).hash8


def waiting(words: str, **accelerators: int) -> EnginePod:
    wanted = {name.replace("_", ".") + "/gpu": need for name, need in accelerators.items()}
    return replace(pod(HASH8), unschedulable=words, accelerators=wanted)


def test_pod_need_and_free_are_named() -> None:
    words = "0/3 nodes are available: 1 node(s) had untolerated taint {x: y}, 2 Insufficient nvidia.com/gpu."
    shortage = accelerator_shortage([waiting(words, nvidia_com=1)])
    assert str(shortage) == (
        "pod demo-x needs 1 nvidia.com/gpu, and 0 are free on each of the 2 nodes that could take it"
    )


def test_of_many_it_is_only_known_that_fewer_are_free() -> None:
    words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    assert "fewer than 4 are free on the 1 node" in str(accelerator_shortage([waiting(words, nvidia_com=4)]))


@pytest.mark.parametrize(
    "words",
    [
        "",
        "0/2 nodes are available: 2 Insufficient memory.",
        "0/2 nodes: 2 Insufficient nvidia.com/gpu.shared.",
    ],
)
def test_other_shortages_are_none_of_accelerators(words: str) -> None:
    assert accelerator_shortage([waiting(words, nvidia_com=1)]) is None


def test_the_condition_says_it_with_the_remedy() -> None:
    words = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    finding = diagnose(deployment(DEMO), [waiting(words, nvidia_com=1)])
    assert finding is not None
    assert finding.reason == Reason.INSUFFICIENT_ACCELERATOR
    assert "let spec.rollout.strategy Auto or Replace take an old pod away first" in finding.message
