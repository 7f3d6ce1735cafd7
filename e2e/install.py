"""Our images, CRD and operator on the local cluster; the demo and the stories both start here."""

import shutil
import subprocess
import sys
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


def operator() -> Kubectl:
    """Apply the CRD and the operator, and wait until the operator that runs is the one just built."""
    within = kubectl()
    overlay = write_overlay()
    within("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
    within("wait", "crd/inferenceservices.serving.octavo.dev", "--for=condition=Established", "--timeout=30s")
    within("-n", OPERATOR_NAMESPACE, "rollout", "status", OPERATOR_DEPLOYMENT, "--timeout=120s")
    return within


def write_overlay() -> Path:
    """The local overlay with this machine's model root; the image's digest makes a new build roll out."""
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
    literals: ["OCTAVO_MODEL_ROOT={MODELS}"]
patches:
  - target: {{kind: Deployment, name: octavo-operator}}
    patch: |-
      - op: add
        path: /spec/template/metadata/annotations
        value: {{octavo.local/image: "{loaded_digest("octavo.local/operator:dev")}"}}
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
    system("scale", OPERATOR_DEPLOYMENT, "--replicas=1")
    system("rollout", "status", OPERATOR_DEPLOYMENT, "--timeout=90s")


def operator_pod() -> Manifest:
    """The one that runs."""
    pods = kubectl().within(OPERATOR_NAMESPACE).items("pods", "-l", OPERATOR_PODS)
    return next(pod for pod in pods if pod["status"]["phase"] == "Running")
