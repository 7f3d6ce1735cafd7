"""The Job that asks about a revision: the engine's own pod, but for what a check neither has nor needs."""

from typing import Any

import pytest
from operator_builders import COMMIT, revision, service

from octavo_api.spec import InferenceService
from octavo_operator.observed import Manifest
from octavo_operator.render.deployment import deployment
from octavo_operator.render.preflight import preflight_job


def job_and_engine(**spec: Any) -> tuple[Manifest, Manifest]:
    """The preflight and the pod template of the Deployment that it is about."""
    of = service(**spec)
    return preflight_job(of, revision(of)), deployment(of, revision(of), 1)["spec"]["template"]


def args(job: Manifest) -> list[str]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return list(container["args"])


def test_the_smallest_service_has_a_whole_job() -> None:
    job, engine = job_and_engine()
    (container,) = engine["spec"]["containers"]
    hash8 = revision(service()).hash8
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"]["name"] == f"demo-{hash8}-preflight"
    assert job["metadata"]["labels"] == {
        "app.kubernetes.io/name": "octavo-engine",
        "app.kubernetes.io/managed-by": "octavo-operator",
        "serving.octavo.dev/service": "demo",
        "serving.octavo.dev/revision": hash8,
    }
    assert job["metadata"]["ownerReferences"][0]["uid"] == "service-uid"
    template = job["spec"].pop("template")
    assert job["spec"] == {
        "backoffLimit": 5,
        "activeDeadlineSeconds": 1920,
        "ttlSecondsAfterFinished": 3600,
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": "engine",
                        "operator": "In",
                        "values": [64, 65, 66, 67, 68],
                    },
                },
            ]
        },
    }
    assert template["metadata"] == {
        "labels": {"serving.octavo.dev/preflight": "demo", "serving.octavo.dev/revision": hash8}
    }
    beside_the_engines = {
        "weight": 100,
        "podAffinityTerm": {
            "labelSelector": {"matchLabels": {"serving.octavo.dev/service": "demo"}},
            "topologyKey": "kubernetes.io/hostname",
        },
    }
    assert template["spec"] == engine["spec"] | {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "affinity": {
            "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [beside_the_engines]}
        },
        "containers": [
            {
                "name": "engine",
                "image": "octavo/engine:1",
                "args": ["check", *container["args"][1:], "--elsewhere"],
                "env": container["env"],
                "resources": {
                    "requests": {"cpu": "50m", "memory": "256Mi"},
                    "limits": {"memory": "1Gi"},
                },
                "securityContext": container["securityContext"],
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": container["volumeMounts"],
            }
        ],
    }


@pytest.mark.parametrize(
    ("memory", "num_bytes"), [("1Gi", 1 << 30), ("512M", 512_000_000), ("1.5Gi", 3 << 29), ("512m", 1)]
)
def test_the_check_is_told_the_memory_that_the_engine_will_have(memory: str, num_bytes: int) -> None:
    job, _ = job_and_engine(resources={"memory": memory, "cpu": "2"})
    assert args(job)[-3:] == ["--elsewhere", "--memory-limit", str(num_bytes)]


def test_it_takes_no_accelerator_and_goes_where_the_engine_goes() -> None:
    node_affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    job, engine = job_and_engine(
        accelerator={"product": "NVIDIA-L4"},
        pod={
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "models", "operator": "Exists"}],
            # One engine a node: then there would be no place for the check beside it.
            "affinity": {
                "nodeAffinity": node_affinity,
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]},
            },
            "topologySpreadConstraints": [{"maxSkew": 1}],
            "serviceAccountName": "models",
            "imagePullSecrets": [{"name": "registry"}],
            "runtimeClassName": "nvidia",
            "priorityClassName": "high",
        },
    )
    spec = job["spec"]["template"]["spec"]
    for field in (
        *("nodeSelector", "tolerations", "serviceAccountName", "imagePullSecrets", "runtimeClassName"),
        *("priorityClassName", "securityContext", "automountServiceAccountToken", "volumes"),
    ):
        assert spec[field] == engine["spec"][field], field
    assert spec["nodeSelector"] == {"zone": "a", "nvidia.com/gpu.product": "NVIDIA-L4"}
    assert spec["affinity"].keys() == {"nodeAffinity", "podAffinity"}
    assert spec["affinity"]["nodeAffinity"] == node_affinity
    assert "topologySpreadConstraints" not in spec
    assert "nvidia.com/gpu" not in str(spec["containers"][0]["resources"])
    assert "cuda" in args(job)


def test_the_user_s_own_labels_and_annotations_stay_and_those_of_an_engine_do_not() -> None:
    job, _ = job_and_engine(pod={"labels": {"egress": "hub"}, "annotations": {"a": "b"}})
    metadata = job["spec"]["template"]["metadata"]
    assert metadata["annotations"] == {"a": "b"}
    assert set(metadata["labels"]) == {
        "egress",
        "serving.octavo.dev/preflight",
        "serving.octavo.dev/revision",
    }


def test_it_asks_about_the_frozen_template_and_not_about_what_would_be_rendered_today() -> None:
    of = service(resources={"memory": "2Gi"})
    later = InferenceService.from_manifest(
        {
            "metadata": {"namespace": "team", "name": "demo", "uid": "service-uid"},
            "spec": {"model": {"uri": "hf://org/other"}, "rollout": {"progressDeadlineSeconds": 60}},
        }
    )
    job = preflight_job(later, revision(of))
    assert f"hf://org/name@{COMMIT}" in args(job)
    assert args(job)[-1] == str(2 << 30)
    assert job["spec"]["activeDeadlineSeconds"] == 180


def test_the_longest_name_of_a_service_leaves_room() -> None:
    """Of 63 characters, which the name of a Job becomes a label with."""
    assert len("x" * 40 + "-01234567-preflight") <= 63
