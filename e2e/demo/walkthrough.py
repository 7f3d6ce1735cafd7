"""The demo's steps; each says what it does, how far it is, and how long it took."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import demo_model
import images
import install
from kubectl import Kubectl, KubectlFailed, condition
from storytelling import CLIENT, client_pod

NAMESPACE = "octavo-demo"
SERVICE = "smollm2"
SAMPLE = Path("manifests/samples/smollm2.yaml")
QUESTION = "What is the capital of France, and what is it known for?"
READY_WITHIN_SECONDS = 300
STEPS = 7

Value = TypeVar("Value")


def run() -> int:
    started = time.monotonic()
    try:
        kubectl = prepare()
        wait_until_ready(kubectl)
        chat(kubectl)
    except KeyboardInterrupt:
        print(
            "\nInterrupted. `make demo` goes on from here; `make cluster-down` ends the cluster.",
            file=sys.stderr,
        )
        return 130
    except (KubectlFailed, *install.FAILURES) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - started:.0f} s. The cluster is still running; try next:")
    print(next_commands())
    return 0


def prepare() -> Kubectl:
    """Make all that the sample needs and apply it; returns kubectl in the demo's namespace."""
    step(1, "The model: SmolLM2-135M-Instruct", demo_model.prepare)
    step(2, "A Kubernetes of its own (first time: built from source)", install.cluster)
    step(3, "Images of the engine, the operator and a client", images.build)
    step(4, "Images into the cluster", images.load)
    cluster = step(5, "The CRD and the operator", install.operator)
    return step(6, f"kubectl apply -f {SAMPLE}", lambda: apply_sample(cluster))


def step(number: int, what: str, work: Callable[[], Value]) -> Value:
    print(f"\n[{number}/{STEPS}] {what}", flush=True)
    started = time.monotonic()
    value = work()
    print(f"      done in {time.monotonic() - started:.1f} s", flush=True)
    return value


def apply_sample(cluster: Kubectl) -> Kubectl:
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kubectl = cluster.within(NAMESPACE)
    kubectl("apply", "-f", str(SAMPLE))
    kubectl.apply(client_pod())
    return kubectl


def wait_until_ready(kubectl: Kubectl) -> None:
    """Follow the service's own words until it is Ready."""
    said = ""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        service = kubectl.get("infsvc", SERVICE)
        ready, stalled = condition(service, "Ready"), condition(service, "Stalled")
        is_current = ready.get("observedGeneration") == service["metadata"]["generation"]
        if ready.get("message") and ready["message"] != said:
            said = ready["message"]
            print(f"      {said}", flush=True)
        if is_current and ready["status"] == "True":
            return
        if stalled.get("status") == "True":
            raise install.InstallFailed(f"{stalled['reason']}: {stalled['message']}")
        time.sleep(0.5)
    raise install.InstallFailed(f"{SERVICE} is not Ready after {READY_WITHIN_SECONDS} s: {said}")


def chat(kubectl: Kubectl) -> None:
    url = f"http://{SERVICE}.{NAMESPACE}.svc.cluster.local/v1"
    print(f"\n[7/{STEPS}] A chat from a pod inside the cluster, through {url}\n\n> {QUESTION}\n", flush=True)
    kubectl("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=60s")
    command = kubectl.command("exec", CLIENT, "--", "python", "/client/chat.py", url, SERVICE, QUESTION)
    if subprocess.run(command, check=False).returncode != 0:
        raise install.InstallFailed(
            "the chat failed; the engine's log may say why (commands below need the cluster)"
        )


def next_commands() -> str:
    return f"""
  export KUBECONFIG=$PWD/.octavo/kubeconfig PATH=$PWD/.octavo/bin:$PATH
  kubectl -n {NAMESPACE} get infsvc,pods
  kubectl -n {NAMESPACE} describe infsvc {SERVICE}
  kubectl explain infsvc.spec --recursive
  kubectl -n {NAMESPACE} port-forward svc/{SERVICE} 8000:80 &
  curl -N localhost:8000/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model":"{SERVICE}","stream":true,"messages":[{{"role":"user","content":"Hello!"}}]}}'
  kubectl -n {NAMESPACE} delete infsvc {SERVICE}
  make cluster-down     # ends everything"""
