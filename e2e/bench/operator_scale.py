"""`python -m bench.operator_scale`: memory, latency and quiet of the operator under thousands of pods.

On this checkout's cluster, with nodes and pods that kwok plays, and this checkout's operator as a process.
"""

import argparse
import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import install
from bench.fake_nodes import fake_nodes
from bench.figures import Figures, Load, broken_bounds, table, to_json
from bench.phases import Bench, run
from bench.progress import say
from bench.scratch_operator import ScratchOperator
from cluster.lifecycle import uninterrupted
from cluster.paths import this_checkout
from kubectl import Kubectl, KubectlFailed
from octavo_api.api_server import ApiError

NAMESPACES = "bench-scale"
GATEWAY_PODS = 2
EXAMPLES = """\
examples:
  python -m bench.operator_scale                            500 services, 5,000 pods: about 10 minutes
  python -m bench.operator_scale --services 50 --replicas 10 --rest-seconds 60
  python -m bench.operator_scale --namespaces 1             all services share one gateway

The cluster is started when it does not run, and stays. An operator that is installed in it is scaled to 0
meanwhile. Exit code 1: a bound does not hold; 2: the bench could not be done.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    found: list[Figures] = []
    try:
        prepare_and_run(options, found.append)
    except (*install.FAILURES, KubectlFailed, ApiError) as error:
        say(f"error: {error}")
        code = 2
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    else:
        code = 0
    # Whatever cut the run off, what was measured before counts.
    broken = tell(found[-1], options.out) if found else []
    return code or (1 if broken else 0)


def tell(figures: Figures, out: Path) -> list[str]:
    """The bounds that do not hold."""
    (out / "operator-scale.json").write_text(to_json(figures))
    sys.stdout.write(table(figures))
    broken = broken_bounds(figures)
    for line in broken:
        say(f"broken: {line}")
    return broken


def prepare_and_run(options: argparse.Namespace, keep: Callable[[Figures], None]) -> None:
    """`keep` gets the figures so far after each phase."""
    load = Load(
        services=options.services,
        replicas=options.replicas,
        namespaces=min(options.namespaces, options.services),
        resync_seconds=options.resync_seconds,
        cores=os.cpu_count() or 1,
        load_average=os.getloadavg()[0],
    )
    options.out.mkdir(parents=True, exist_ok=True)
    kubectl = install.cluster()
    names = [f"{NAMESPACES}-{number}" for number in range(load.namespaces)]
    num_pods = load.services * load.replicas + GATEWAY_PODS * load.namespaces
    with ExitStack() as stack:
        stack.enter_context(alone())
        stack.enter_context(no_other_operator(kubectl))
        stack.enter_context(fake_nodes(kubectl, num_pods, options.out))
        stack.enter_context(namespaces(kubectl, names))
        operator = ScratchOperator(kubectl, options.out, resync_seconds=options.resync_seconds)
        stack.callback(operator.stop)
        operator.start()
        asyncio.run(run(Bench(kubectl, operator, load, names, options), keep))


@contextmanager
def alone() -> Iterator[None]:
    """Two runs would take each other's nodes and namespaces. The lock goes with the process."""
    with (this_checkout().state.folder / "bench-lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise install.InstallFailed("another run of this bench is under way: wait for its end") from None
        yield


@contextmanager
def no_other_operator(kubectl: Kubectl) -> Iterator[None]:
    """CRD, account and rights are there; an installed operator is idle meanwhile."""
    system = kubectl.within(install.OPERATOR_NAMESPACE)
    found = system("get", install.OPERATOR_DEPLOYMENT, "-o", "jsonpath={.spec.replicas}", check=False)
    if found.returncode:
        kubectl("apply", "--server-side", "-k", str(install.ROOT / "crds"))
        kubectl("apply", "--server-side", "-f", str(install.ROOT / "manifests/operator/namespace.yaml"))
        rights = kubectl("kustomize", str(install.ROOT / "manifests/operator")).stdout
        kubectl("apply", "--server-side", "-f", "-", input=without_workloads(rights))
        kubectl(
            "wait", "crd/inferenceservices.serving.octavo.dev", "--for=condition=Established", "--timeout=30s"
        )
        yield
        return
    install.stop_operator()
    try:
        yield
    finally:
        system("scale", install.OPERATOR_DEPLOYMENT, f"--replicas={found.stdout}", check=False)


def without_workloads(manifests: str) -> str:
    return "\n---\n".join(each for each in manifests.split("\n---\n") if "\nkind: Deployment\n" not in each)


@contextmanager
def namespaces(kubectl: Kubectl, names: Sequence[str]) -> Iterator[None]:
    """Made anew, after a run that was cut off too, and deleted with all that is in them."""
    kubectl("delete", "namespaces", *names, "--ignore-not-found", timeout=310)
    kubectl.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))
    try:
        yield
    finally:
        with uninterrupted():
            kubectl("delete", "namespaces", *names, "--wait=false", check=False)
        say("waiting for the namespaces to go; Ctrl-C leaves that to the cluster")
        kubectl("wait", "namespaces", *names, "--for=delete", "--timeout=300s", check=False, timeout=310)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.operator_scale",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--services", type=int, default=500, help="InferenceServices (500)")
    add("--replicas", type=int, default=10, help="pods of each (10)")
    add("--namespaces", type=int, default=50, help="that they are spread over; each has a gateway (50)")
    add("--rest-seconds", type=float, default=120.0, help="how long to look for writes at rest (120); 0: not")
    add("--change-seconds", type=float, default=180.0, help="how long to change services (180); 0: not")
    add("--rate", type=float, default=5.0, help="changes a second (5)")
    add(
        "--resync-seconds",
        type=float,
        default=60.0,
        help="the operator's own setting (60; its default is 300)",
    )
    add("--no-restart", action="store_true", help="do not measure a restart")
    add("--no-deletion", action="store_true", help="do not measure the deletion of all services")
    add(
        "--patience",
        type=float,
        default=900.0,
        help="seconds that all may take to become Ready, or to go (900)",
    )
    add(
        "--out",
        type=Path,
        default=install.ROOT / ".octavo" / "bench-operator",
        help="folder for JSON and logs (.octavo/bench-operator)",
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
