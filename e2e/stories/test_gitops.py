"""GitOps tools see no difference where there is none, and never take a service for done before it is."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

import install
from kstatus import Moment, is_serving, recorded
from kubectl import Kubectl, condition
from storytelling import engines_of, inference_service, is_settled

SAMPLES = install.ROOT / "manifests/samples"
Until = Callable[..., Any]


def samples() -> list[dict[str, Any]]:
    """Their InferenceServices, each named after its file; paused, so that none starts a pod."""
    found = []
    for path in sorted(SAMPLES.glob("*.yaml")):
        (service,) = (
            each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "InferenceService"
        )
        service["metadata"] = {"name": path.stem}
        service["spec"].setdefault("rollout", {})["paused"] = True
        found.append(service)
    assert found
    return found


def autoscaled(uri: str) -> dict[str, Any]:
    """As one writes it for Git: its replicas are the autoscaler's alone."""
    block = {"minReplicas": 1, "maxReplicas": 5}
    return inference_service("autoscaled", uri, autoscaling=block, rollout={"paused": True})


def test_the_api_server_takes_every_sample(cluster: Kubectl) -> None:
    taken = cluster("apply", "--dry-run=server", "-o", "name", "-f", str(SAMPLES)).stdout.split()
    assert {f"inferenceservice.serving.octavo.dev/{name}" for name in ("everything", "llama")} <= set(taken)
    assert len(taken) >= len(samples())


@pytest.mark.parametrize("flags", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_kubectl_diff_is_empty_after_apply_also_while_an_autoscaler_scales(
    kubectl: Kubectl, until: Until, tiny_model: str, flags: tuple[str, ...]
) -> None:
    written = [*samples(), autoscaled(tiny_model)]
    text = "\n---\n".join(map(json.dumps, written))
    kubectl("apply", *flags, "-f", "-", input=text)
    until("the operator has looked at all", lambda: all(map(is_observed, kubectl.items("infsvc"))))

    def difference() -> str:
        done = kubectl("diff", *flags, "-f", "-", input=text, check=False)
        return done.stdout + done.stderr

    assert difference() == ""
    kubectl("scale", "infsvc/autoscaled", "--replicas=3")
    until("the operator has looked again", lambda: all(map(is_observed, kubectl.items("infsvc"))))
    assert difference() == ""
    kubectl("apply", *flags, "-f", "-", input=text)
    assert kubectl.get("infsvc", "autoscaled")["spec"]["replicas"] == 3, "Git took it from the autoscaler"

    written[-1]["spec"]["resources"]["memory"] = "2Gi"
    text = json.dumps(written[-1])
    assert "2Gi" in difference(), "kubectl diff would have shown a difference"


def is_observed(service: dict[str, Any]) -> bool:
    return bool(service["status"]["observedGeneration"] == service["metadata"]["generation"])


def test_kstatus_never_takes_a_change_for_done_before_it_is(
    kubectl: Kubectl, until: Until, tiny_model: str
) -> None:
    def change(**spec: Any) -> None:
        kubectl("patch", "infsvc", "tiny", "--type=merge", "-p", json.dumps({"spec": spec}))

    def settled(replicas: int) -> None:
        until(f"{replicas} settled replicas", lambda: is_settled(kubectl, "tiny", replicas))

    def is_stalled() -> bool:
        return condition(kubectl.get("infsvc", "tiny"), "Stalled").get("status") == "True"

    with recorded(kubectl) as recorder:
        kubectl.apply(inference_service("tiny", tiny_model, engine=sequences(100)))
        settled(1)
        change(engine=sequences(101))
        settled(1)
        change(engine={"image": "octavo.local/none:dev"}, rollout={"progressDeadlineSeconds": 10})
        until("it has failed", is_stalled)
        change(engine={"image": None}, rollout={"progressDeadlineSeconds": 600})
        settled(1)
        change(replicas=0)
        settled(0)
        kubectl("delete", "infsvc", "tiny", "--cascade=foreground", "--timeout=60s")
        until("the end of the trace", lambda: recorder.trace("tiny")[-1].verdict == "NotFound")
        trace = recorder.trace("tiny")

    for moment in trace:
        assert is_true(moment), (moment.verdict, moment.message, moment.service, moment.pods)
    verdicts = [verdict for verdict, _ in itertools.groupby(moment.verdict for moment in trace)]
    rollout, failure, end = ["InProgress", "Current"], ["InProgress", "Failed"], ["Terminating", "NotFound"]
    told = [f"{moment.verdict}: {moment.message}" for moment in trace]
    assert verdicts == [*rollout, *rollout, *failure, *rollout, *rollout, *end], "\n".join(told)


def sequences(number: int) -> dict[str, Any]:
    return {"scheduling": {"maxRunningRequests": number}}


def is_true(moment: Moment) -> bool:
    """What the verdict says is so: by the pods themselves, whatever the status counts."""
    spec = moment.service["spec"]
    match moment.verdict:
        case "Current":
            staying = [pod for pod in moment.pods if "deletionTimestamp" not in pod["metadata"]]
            is_done = len(staying) == spec["replicas"] and all(runs(pod, spec) for pod in staying)
            return moment.is_observed and is_done and all(map(is_serving, staying))
        case "Failed":
            return moment.is_observed and bool(condition(moment.service, "Stalled")["message"])
    return True


def runs(pod: dict[str, Any], spec: dict[str, Any]) -> bool:
    """Whether the pod is made as the spec says: by the only fields that this story changes."""
    (container,) = pod["spec"]["containers"]
    number = str(spec["engine"]["scheduling"]["maxRunningRequests"])
    image = spec["engine"].get("image", container["image"])
    return container["image"] == image and ["--max-num-seqs", number] in map(
        list, itertools.pairwise(container["args"])
    )


@pytest.fixture
def same_operator_again(cluster: Kubectl) -> Iterator[None]:
    yield
    install.operator()


@pytest.mark.usefixtures("same_operator_again")
def test_an_upgrade_of_the_operator_restarts_no_engine(
    kubectl: Kubectl, serve: Any, until: Until, tiny_model: str
) -> None:
    def state() -> tuple[Any, ...]:
        pods = {
            pod["metadata"]["uid"]: pod["spec"]["containers"][0]["image"]
            for pod in engines_of(kubectl, "tiny")
        }
        deployments = kubectl.items("deployments", "-l", "serving.octavo.dev/service=tiny")
        revision = kubectl.get("infsvc", "tiny")["status"]["updateRevision"]
        return pods, [each["metadata"]["name"] for each in deployments], revision

    serve("tiny", tiny_model)
    pods, deployments, revision = state()
    install.operator(OCTAVO_ENGINE_IMAGE="octavo.local/engine:next", OCTAVO_HUB_ENDPOINT="http://hub.example")

    # A service that comes after the upgrade shows that the new settings hold.
    kubectl.apply(inference_service("later", tiny_model, replicas=0))
    until("a Deployment of the next image", lambda: "octavo.local/engine:next" in image_of(kubectl, "later"))
    kubectl("scale", "infsvc/tiny", "--replicas=2")
    until("two settled replicas", lambda: is_settled(kubectl, "tiny", 2))

    pods_after, *others_after = state()
    assert pods.items() <= pods_after.items()
    assert set(pods_after.values()) == {"octavo.local/engine:dev"}, "also of the pod that came later"
    assert others_after == [deployments, revision]


def image_of(kubectl: Kubectl, name: str) -> str:
    deployments = kubectl.items("deployments", "-l", f"serving.octavo.dev/service={name}")
    return "".join(each["spec"]["template"]["spec"]["containers"][0]["image"] for each in deployments)
