"""The operator is killed after its n-th write, for every n, and another brings everything to the same end.

The API server and the controllers are real; the engines' pods are on a node without a kubelet, so that a
run takes a second. A further story does the same with the operator and the engines in real pods.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import install
from audit import writes
from cluster import processes
from cluster.addresses import API_URL
from cluster.api import ApiClient
from cluster.paths import this_checkout
from cluster.record import read_record
from fake_node import PLACEMENT, fake_node
from killing_proxy import KillingProxy
from kubectl import Kubectl
from storytelling import engines_of, inference_service, is_settled

Until = Callable[..., Any]


@pytest.fixture
def no_operator() -> Iterator[None]:
    """The cluster's own operator rests, and works again when the story is over."""
    install.stop_operator()
    yield
    install.start_operator()


class Laboratory:
    """Operators of this checkout as processes on this machine, one at a time."""

    def __init__(self, kubectl: Kubectl, proxy: KillingProxy, folder: Path, until: Until) -> None:
        self.kubectl = kubectl
        self.proxy = proxy
        self.until = until
        self._kubeconfig = folder / "kubeconfig"
        self._log = folder / "operator.log"
        cluster = {"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{proxy.port}"}}
        context = {"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}
        user = {"name": "proxy", "user": {}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "proxy"}
        config |= {"clusters": [cluster], "contexts": [context], "users": [user]}  # type: ignore[dict-item]
        self._kubeconfig.write_text(json.dumps(config))

    def operate(self, is_done: Callable[[], bool], kill_after: int | None) -> bool:
        """Run an operator until all is done or it was killed; whether it was killed."""
        flags = [
            "--engine-image=octavo.local/none",
            "--gateway-image=octavo.local/operator:dev",
            "--gateway-replicas=1",
            "--health-port=0",
        ]
        with self._log.open("ab") as log:
            operator = subprocess.Popen(
                ["nsenter", f"--net={self.proxy.network}", sys.executable, "-m", "octavo_operator", *flags],
                env=os.environ | {"KUBECONFIG": str(self._kubeconfig)},
                stdout=log,
                stderr=log,
            )
        self.proxy.arm(operator, kill_after)
        try:
            self.until("the operator's end, or all done", lambda: operator.poll() is not None or is_done())
            ended = operator.poll()
            assert ended in (None, -signal.SIGKILL), self._log.read_text()[-3000:]
            return ended is not None
        finally:
            operator.kill()
            operator.wait()

    def is_settled(self, name: str, replicas: int) -> bool:
        """As it is after a while without a write, too: the last visit has nothing left to do."""
        if not is_settled(self.kubectl, name, replicas):
            return False
        before = len(self.proxy.writes)
        time.sleep(1.0)
        return len(self.proxy.writes) == before and len(engines_of(self.kubectl, name)) == replicas

    def end_state(self, name: str) -> dict[str, Any]:
        """All that has to be equal, without names, times and versions."""
        kinds = "deployments,services,poddisruptionbudgets,secrets"
        children = self.kubectl.items(kinds, "-l", f"serving.octavo.dev/service={name}")
        status = self.kubectl.get("infsvc", name)["status"]
        return {
            "children": sorted((child["kind"], child.get("spec", {}).get("replicas")) for child in children),
            "pods": sorted(
                (
                    pod["status"]["phase"],
                    "serving.octavo.dev/draining" in pod["metadata"].get("annotations", {}),
                )
                for pod in engines_of(self.kubectl, name)
            ),
            "counts": {key: value for key, value in status.items() if key.lower().endswith("replicas")},
            "conditions": {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]},
            # "weights": [each["weightPercent"] for each in status["revisions"]],
        }


@pytest.fixture
def laboratory(
    kubectl: Kubectl, cluster: Kubectl, no_operator: None, tmp_path: Path, until: Until, tiny_model: str
) -> Iterator[Laboratory]:
    state = this_checkout().state
    record = read_record(state.record)
    assert record is not None
    admin = ApiClient(state.pki, record.api_port).context
    network = Path(f"/proc/{processes.node_process(state, 1)}/ns/net")
    proxy = KillingProxy(API_URL, admin, str(kubectl.namespace), network)
    with proxy.running(), fake_node(cluster):
        made = Laboratory(kubectl, proxy, tmp_path, until)
        # Another service keeps the namespace's gateway, a real one, from going with every service.
        kubectl.apply(service("anchor", tiny_model, 0))
        made.operate(lambda: made.is_settled("anchor", 0), None)
        yield made


def service(name: str, uri: str, replicas: int, **engine: Any) -> dict[str, Any]:
    return inference_service(name, uri, replicas=replicas, pod=PLACEMENT, engine=engine)


def other(max_running_requests: int) -> dict[str, Any]:
    return {"scheduling": {"maxRunningRequests": max_running_requests}}


@dataclass(frozen=True)
class Change:
    before: int | None
    """Replicas before it; None: there is no service."""
    after: int
    engine: dict[str, Any]


CHANGES = {
    "create": Change(None, 2, {}),
    "rollout": Change(2, 2, other(200)),
    "scale up": Change(1, 3, {}),
    "scale down": Change(3, 1, {}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_an_operator_killed_after_any_write_leaves_nothing_that_the_next_does_not_finish(
    laboratory: Laboratory, tiny_model: str, kind: str
) -> None:
    change = CHANGES[kind]

    def run(name: str, kill_after: int | None) -> tuple[bool, dict[str, Any]]:
        if change.before is not None:
            laboratory.kubectl.apply(service(name, tiny_model, change.before))
            laboratory.operate(lambda: laboratory.is_settled(name, change.before or 0), None)
        laboratory.kubectl.apply(service(name, tiny_model, change.after, **change.engine))
        is_done = lambda: laboratory.is_settled(name, change.after)  # noqa: E731
        was_killed = laboratory.operate(is_done, kill_after)
        if was_killed:
            laboratory.operate(is_done, None)
        state = laboratory.end_state(name)
        laboratory.kubectl("delete", "infsvc", name, "--wait=false")
        return was_killed, state

    _, undisturbed = run("undisturbed", None)
    number = 0
    while True:
        number += 1
        was_killed, state = run(f"killed-{number}", number)
        assert state == undisturbed, f"killed after write {number}"
        if not was_killed:
            break
    print(f"{kind}: the operator was killed after each of {number - 1} writes")
    assert number > 2, "the proxy saw the operator's writes"


def test_a_service_deleted_while_operators_die_leaves_nothing(
    laboratory: Laboratory, tiny_model: str
) -> None:
    laboratory.kubectl.apply(service("tiny", tiny_model, 2))
    laboratory.operate(lambda: laboratory.is_settled("tiny", 2), None)

    laboratory.kubectl("delete", "infsvc", "tiny", "anchor", "--wait=false")

    def is_gone() -> bool:
        kinds = "infsvc,deployments,services,poddisruptionbudgets,pods"
        return not laboratory.kubectl.items(kinds) and time.monotonic() > seen_for + 2

    seen_for = time.monotonic()
    laboratory.operate(is_gone, 1)
    laboratory.until("nothing is left", is_gone)


def test_real_engines_never_restart_when_the_operator_dies_in_a_rollout(
    kubectl: Kubectl, cluster: Kubectl, serve: Any, until: Until, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    for kill_after in (1, 3, 5):
        before = len(writes(str(kubectl.namespace)))
        spec = {"spec": {"engine": other(100 + kill_after)}}
        kubectl("patch", "infsvc", "tiny", "--type=merge", "-p", json.dumps(spec))
        until("the n-th write", lambda: len(writes(str(kubectl.namespace))) >= before + kill_after)  # noqa: B023
        install.kill_container(install.operator_pod())
        until("settled", lambda: is_settled(kubectl, "tiny", 1), seconds=180)

    engines = engines_of(kubectl, "tiny")
    assert [each["restartCount"] for pod in engines for each in pod["status"]["containerStatuses"]] == [0]
