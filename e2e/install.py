"""Our images, CRD and operator on the local cluster; the demo and the stories both start here."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import demo_model
import images
from cluster import lifecycle
from cluster.addresses import node_number
from cluster.errors import ClusterError
from cluster.guard import require_own_context
from cluster.image_store import ctr, image_digests
from cluster.images import containerd_socket
from cluster.paths import cache_folder, this_checkout
from kubectl import Kubectl, Manifest

ROOT = Path(__file__).resolve().parent.parent
MODELS = cache_folder() / "models"
DEMO_MODEL = "smollm2-135m-instruct"
TINY_MODEL = "tiny-llama"
CLIENT_IMAGE = "octavo.local/client:dev"
OPERATOR_NAMESPACE = "octavo-system"
OPERATOR_DEPLOYMENT = "deployment/octavo-operator"
OPERATOR_LEASE = "octavo-operator-leader"
OPERATOR_REPLICAS = 2
OPERATOR_PODS = "app.kubernetes.io/name=octavo-operator"
"""The label of its pods."""


class InstallFailed(Exception):
    """A step could not be done; the message says which and what to do."""


FAILURES = (InstallFailed, ClusterError, images.ImagesError, demo_model.DemoModelError)
"""What preparing model, cluster, images or operator may raise; each message has its remedy."""


def kubectl() -> Kubectl:
    """kubectl for this checkout's cluster. Raises when the kubeconfig leads anywhere else."""
    checkout = this_checkout()
    require_own_context(checkout.kubeconfig, checkout)
    return Kubectl(checkout.kubectl, checkout.kubeconfig)


def cluster() -> Kubectl:
    """Start the cluster unless it runs."""
    lifecycle.up(this_checkout())
    return kubectl()


def operator(**settings: str) -> Kubectl:
    """Apply the CRD and the operator, and wait until the operator that runs is the one just built.

    `settings` are those of its ConfigMap that shall differ from the local overlay's.
    """
    within = kubectl()
    overlay = write_overlay({"OCTAVO_MODEL_ROOT": str(MODELS)} | settings)
    within("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
    within("wait", "crd/inferenceservices.serving.octavo.dev", "--for=condition=Established", "--timeout=30s")
    operator_is_rolled_out()
    return within


def write_overlay(settings: Mapping[str, str]) -> Path:
    """The local overlay with other settings; the image's digest makes a new build roll out."""
    folder = this_checkout().root / ".octavo" / "overlay"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(f"""\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../manifests/overlays/local]
configMapGenerator:
  - name: octavo-operator
    namespace: {OPERATOR_NAMESPACE}
    behavior: merge
    literals: {json.dumps([f"{name}={value}" for name, value in settings.items()])}
patches:
  - target: {{kind: Deployment, name: octavo-operator}}
    patch: |-
      - op: add
        path: /spec/template/metadata/annotations
        value: {{octavo.local/image: "{loaded_digest("octavo.local/operator:dev")}"}}
""")
    return folder


def write_namespaced_overlay(namespace: str) -> Path:
    """The operator that serves this namespace alone and lives in it."""
    folder = this_checkout().root / ".octavo" / "overlay-namespaced"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # The ConfigMap is found by the namespace of its base, and then moves with all others.
    (folder / "kustomization.yaml").write_text(f"""\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [../../manifests/operator-namespaced]
images:
  - {{name: octavo-operator, newName: octavo.local/operator, newTag: dev}}
configMapGenerator:
  - name: octavo-operator
    namespace: octavo
    behavior: merge
    literals:
      - OCTAVO_ENGINE_IMAGE=octavo.local/engine:dev
      - OCTAVO_GATEWAY_IMAGE=octavo.local/operator:dev
""")
    return folder


def loaded_digest(image: str) -> str:
    digests = image_digests(containerd_socket(this_checkout().state, 1))
    if image not in digests:
        raise InstallFailed(
            f"{image} is not in the cluster: build and load it with `make images`, then again"
        )
    return digests[image]


def tiny_model() -> str:
    """Make the tiny random Llama below the model root, once; returns its folder's name there."""
    folder = MODELS / TINY_MODEL
    if not (folder / "model.safetensors").exists():
        script = ROOT / "tests/support/tiny_model.py"
        subprocess.run([sys.executable, str(script), str(folder)], check=True, stdout=subprocess.DEVNULL)
    return TINY_MODEL


def everything() -> Kubectl:
    """The cluster with images and operator: what every story needs."""
    cluster()
    images.build()
    images.load()
    return operator()


def misbehaving_engine() -> str:
    """Build and load the engine that misbehaves as its environment says; returns the image's name."""
    images.build([images.MISBEHAVING])
    images.load([images.MISBEHAVING])
    return images.MISBEHAVING.reference


def kill_container(pod: Manifest) -> None:
    """SIGKILL the first process of a pod from outside, as the kernel does when memory runs out."""
    require_own_context(this_checkout().kubeconfig)
    socket = containerd_socket(this_checkout().state, node_number(pod["spec"]["nodeName"]))
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    ctr(socket, "tasks", "kill", "--signal", "SIGKILL", container)


def stop_operator() -> None:
    """Services and their children then stay as they are until `start_operator`."""
    system = kubectl().within(OPERATOR_NAMESPACE)
    system("scale", OPERATOR_DEPLOYMENT, "--replicas=0")
    system("wait", "pods", "-l", OPERATOR_PODS, "--for=delete", "--timeout=60s")


def start_operator() -> None:
    system = kubectl().within(OPERATOR_NAMESPACE)
    system("scale", OPERATOR_DEPLOYMENT, f"--replicas={OPERATOR_REPLICAS}")
    operator_is_rolled_out()


def operator_is_rolled_out(namespace: str = OPERATOR_NAMESPACE) -> None:
    """Every replica is the one that was applied last, and one of them acts."""
    system = kubectl().within(namespace)
    system("rollout", "status", OPERATOR_DEPLOYMENT, "--timeout=120s")
    operator_pod(namespace)


def operator_pod(namespace: str = OPERATOR_NAMESPACE, seconds: float = 60) -> Manifest:
    """The one that acts, by its Lease; waits while nobody does."""
    system = kubectl().within(namespace)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        holder = lease_holder(system)
        for pod in system.items("pods", "-l", OPERATOR_PODS):
            if _acts(pod, holder):
                return pod
        time.sleep(0.25)
    raise InstallFailed(
        f"no pod of the operator holds the Lease {OPERATOR_LEASE} in {namespace}: {holder!r} does"
    )


def lease_holder(system: Kubectl) -> str:
    """The identity of a process, pod name first; empty: nobody's."""
    leases = system.items("leases", f"--field-selector=metadata.name={OPERATOR_LEASE}")
    return str(leases[0]["spec"].get("holderIdentity", "")) if leases else ""


def _acts(pod: Manifest, holder: str) -> bool:
    is_there = pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    return is_there and holder.partition("_")[0] == pod["metadata"]["name"]
