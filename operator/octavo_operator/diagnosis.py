"""Why is the wanted revision not serving yet? One finding, the most telling, with the object and the remedy.

Pods and Deployments say it in their own states; what the engine knew at its end is in its exit code and its
termination message.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from octavo_api.names import CONTAINER_NAME, EXIT_CODES, MODEL_EXIT_CODES, Reason
from octavo_api.service_status import LastFailure
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import Ended, EnginePod
from octavo_operator.shortage import accelerator_shortage

Part = Literal["Model", "Engine"]

# Trying again does not help; after the other ends (device fault, hub unreachable) it may.
TERMINAL_EXIT_CODES = frozenset({64, 65, 66, 67, 68})
# An accelerator's fault and a hub that is away say nothing of the revision.
EXIT_CODES_OF_OTHERS = frozenset({69, 75})
PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CRASHES_THAT_ARE_A_LOOP = 3
MISSING_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')

REMEDIES: dict[Reason, str] = {
    Reason.INVALID_ENGINE_CONFIG: "correct spec.engine",
    Reason.INVALID_MODEL: "correct the model's files, or name another model in spec.model.uri",
    Reason.OUT_OF_MEMORY: "raise spec.resources.memory or lower spec.model.contextLength",
    Reason.MODEL_NOT_FOUND: "correct spec.model.uri",
    Reason.MODEL_AUTH_FAILED: "give spec.model.secretRef a token that may read the model",
    Reason.ACCELERATOR_FAULT: "check the node's accelerator; the engine is started again meanwhile",
    Reason.MODEL_FETCH_FAILED: "check the network to the hub; the engine tries again by itself",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    part: Part
    reason: Reason
    message: str
    failed: bool
    """False: it is on its way, and nothing is wrong so far."""
    terminal: bool = False
    """It needs a human."""


def diagnose(deployment: EngineDeployment | None, pods: Iterable[EnginePod]) -> Finding | None:
    """None when all wanted replicas are there. What needs a human comes first, then failures, then waits."""
    if deployment is None:
        return Finding(
            part="Engine", reason=Reason.POD_NOT_STARTED, message="the Deployment is being made", failed=False
        )
    if deployment.is_available:
        return None
    own = [pod for pod in pods if pod.revision == deployment.revision and not pod.deleting and not pod.ready]
    findings = [finding for pod in own if (finding := _of_pod(pod)) is not None]
    if deployment.replica_failure:
        findings.append(_of_refused_pods(deployment))
    if not findings:
        counts = f"{deployment.available_replicas}/{deployment.replicas} replicas available"
        message = f"Deployment {deployment.name}: {counts}; its pods are being made"
        return Finding(part="Engine", reason=Reason.POD_NOT_STARTED, message=message, failed=False)
    return min(findings, key=lambda finding: (not finding.terminal, not finding.failed))


def crash_loop(pods: Iterable[EnginePod], revision: str) -> str | None:
    """What a pod of the revision does again and again; None when none does. One crash may be bad luck."""
    for pod in pods:
        if pod.revision != revision or pod.deleting or pod.restarts < CRASHES_THAT_ARE_A_LOOP:
            continue
        if pod.ended is not None and pod.ended.exit_code != 0:
            return _of_crash(pod, pod.ended.exit_code, pod.ended.message).message
    return None


def last_failure(pods: Iterable[EnginePod]) -> LastFailure | None:
    """The engine's last end among these pods; a clean one is none."""
    for pod in sorted(pods, key=lambda item: item.created, reverse=True):
        if pod.ended is not None and pod.ended.exit_code != 0 and not pod.deleting:
            return _failure(pod.name, pod.ended)
    return None


def _failure(pod_name: str, ended: Ended) -> LastFailure:
    said_by_engine = ended.exit_code in EXIT_CODES
    return LastFailure(
        reason=EXIT_CODES.get(ended.exit_code) or ended.reason or "Error",
        pod=pod_name,
        container=CONTAINER_NAME,
        exit_code=ended.exit_code,
        # Of an end without a message of its own Kubernetes gives the end of the log.
        message=ended.message if said_by_engine else last_line(ended.message),
    )


def last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def _of_refused_pods(deployment: EngineDeployment) -> Finding:
    # Every try has another pod name: the message must not change with it.
    text = deployment.replica_failure.rpartition(" is forbidden: ")[2]
    if "exceeded quota" in text:
        reason, remedy = Reason.QUOTA_EXCEEDED, "raise the namespace's ResourceQuota or lower spec.resources"
    elif "violates PodSecurity" in text:
        reason = Reason.POD_SECURITY_REFUSED
        remedy = "use a model source and pod settings that the namespace's Pod Security level allows"
    else:
        reason, remedy = (
            Reason.ADMISSION_REFUSED,
            "change spec as the message says, or the policy that refuses it",
        )
    message = f"pods of Deployment {deployment.name} are refused: {text}; {remedy}"
    return Finding(part="Engine", reason=reason, message=message, failed=True)


def _of_pod(pod: EnginePod) -> Finding | None:
    if pod.ended is not None and pod.ended.exit_code in EXIT_CODES:
        return exit_finding(f"pod {pod.name}", pod.ended.exit_code, pod.ended.message)
    if pod.ended is not None and pod.ended.reason == "OOMKilled":
        message = f"pod {pod.name} was killed for using more memory than its limit"
        return _engine(Reason.OUT_OF_MEMORY, f"{message}; {REMEDIES[Reason.OUT_OF_MEMORY]}", terminal=True)
    if pod.ended is not None and (not pod.running or pod.restarts >= CRASHES_THAT_ARE_A_LOOP):
        return _of_crash(pod, pod.ended.exit_code, pod.ended.message)
    return unstarted(pod)


def exit_finding(who: str, code: int, text: str, remedy: str = "") -> Finding:
    """An end that the engine, or its check, has explained by its exit code."""
    reason = Reason(EXIT_CODES[code])
    return Finding(
        part="Model" if code in MODEL_EXIT_CODES else "Engine",
        reason=reason,
        message=f"{who} ended with exit code {code}: {text or 'no message'}; {remedy or REMEDIES[reason]}",
        failed=True,
        terminal=code in TERMINAL_EXIT_CODES,
    )


def _of_crash(pod: EnginePod, code: int, text: str) -> Finding:
    last_words = f": {last_line(text)}" if text else ""
    message = f"pod {pod.name} ended with exit code {code} ({pod.restarts} restarts){last_words}"
    return _engine(Reason.CRASH_LOOP, f"{message}; see kubectl logs --previous {pod.name}")


def unstarted(pod: EnginePod) -> Finding:
    """Why it has not come up: what it waits for, or what keeps it from starting."""
    if claim := MISSING_CLAIM.search(pod.unschedulable):
        return Finding(
            part="Model",
            reason=Reason.CLAIM_NOT_FOUND,
            message=f"PersistentVolumeClaim {claim[1]} is not there; make it, or correct spec.model.uri",
            failed=True,
        )
    if (shortage := accelerator_shortage([pod])) is not None:
        remedy = (
            "free one, add a node, or let spec.rollout.strategy Auto or Replace take an old pod away first"
        )
        return _engine(Reason.INSUFFICIENT_ACCELERATOR, f"{shortage}; {remedy}")
    if pod.unschedulable:
        why = pod.unschedulable.partition(" preemption:")[0]
        remedy = "add such nodes, free them, or change spec.resources, spec.accelerator or spec.pod"
        return _engine(Reason.UNSCHEDULABLE, f"pod {pod.name} has no node: {why}; {remedy}")
    if pod.waiting_reason in PULL_REASONS:
        # The kubelet alternates between the error and the back-off that quotes it.
        text = f"pod {pod.name}: {pod.waiting_message.rpartition('ErrImagePull: ')[2]}"
        return _engine(
            Reason.IMAGE_PULL_FAILED, f"{text}; correct spec.engine.image or spec.pod.imagePullSecrets"
        )
    if pod.waiting_reason == "CreateContainerConfigError" and "secret" in pod.waiting_message:
        text = f"pod {pod.name}: {pod.waiting_message}"
        return Finding(
            part="Model",
            reason=Reason.SECRET_NOT_FOUND,
            message=f"{text}; make it in this namespace, with the key token",
            failed=True,
        )
    if pod.waiting_reason not in ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff"):
        text = f"pod {pod.name}: {pod.waiting_reason}: {pod.waiting_message}"
        return _engine(Reason.POD_NOT_STARTED, f"{text}; see kubectl describe pod {pod.name}")
    if pod.running:
        return Finding(
            part="Model",
            reason=Reason.LOADING_WEIGHTS,
            message=f"pod {pod.name} runs and loads the model",
            failed=False,
        )
    message = f"pod {pod.name} is being started"
    return Finding(part="Engine", reason=Reason.POD_NOT_STARTED, message=message, failed=False)


def _engine(reason: Reason, message: str, *, terminal: bool = False) -> Finding:
    return Finding(part="Engine", reason=reason, message=message, failed=True, terminal=terminal)
