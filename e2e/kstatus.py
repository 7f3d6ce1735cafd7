"""What a GitOps tool would have made of an InferenceService, at every moment of a story.

The API server numbers all its objects' states in one row. So two watches, of the services and of their engine
pods, tell afterwards which pods there were when a service's status was written.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from cluster.build import KSTATUS, build_tool
from kubectl import Kubectl

SERVICES = "/apis/serving.octavo.dev/v1alpha1/namespaces/{}/inferenceservices?"
PODS = "/api/v1/namespaces/{}/pods?labelSelector=serving.octavo.dev/service&"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A state of the service, kstatus' verdict on it, and the engine pods that there were."""

    service: Json
    verdict: str
    """Current, InProgress, Failed, Terminating; NotFound when it has just been deleted."""
    message: str
    pods: tuple[Json, ...]

    @property
    def is_observed(self) -> bool:
        observed = self.service.get("status", {}).get("observedGeneration")
        return bool(observed == self.service["metadata"]["generation"])


class Recorder:
    def __init__(self, services: IO[str], pods: IO[str], pods_before: Sequence[Json]) -> None:
        self._services = services
        self._pods = pods
        self._pods_before = pods_before

    def trace(self, name: str) -> tuple[Moment, ...]:
        """All that has been seen of that service so far, in order."""
        states = [event for event in events(self._services) if event["object"]["metadata"]["name"] == name]
        found = verdicts([event["object"] for event in states])
        changes = [{"type": "ADDED", "object": pod} for pod in self._pods_before] + events(self._pods)
        return tuple(
            Moment(
                service=event["object"],
                verdict="NotFound" if event["type"] == "DELETED" else status,
                message=message,
                pods=tuple(pods_at(changes, name, version(event["object"]))),
            )
            for event, (status, message) in zip(states, found, strict=True)
        )


@contextmanager
def recorded(kubectl: Kubectl) -> Iterator[Recorder]:
    """Record the InferenceServices of the namespace, and their pods, from now on."""
    namespace = str(kubectl.namespace)
    with ExitStack() as stack:
        files = []
        for path in (SERVICES.format(namespace), PODS.format(namespace)):
            before = json.loads(kubectl("get", "--raw", path).stdout)
            since = before["metadata"]["resourceVersion"]
            file = stack.enter_context(tempfile.NamedTemporaryFile("w+", encoding="utf-8"))
            watch = f"{path}watch=true&timeoutSeconds=3000&resourceVersion={since}"
            process = subprocess.Popen(kubectl.command("get", "--raw", watch), stdout=file)
            stack.callback(process.wait)
            stack.callback(process.kill)
            files.append(file)
        yield Recorder(files[0], files[1], before["items"])


def events(file: IO[str]) -> list[Json]:
    """Those that have arrived whole."""
    file.seek(0)
    found = [json.loads(line) for line in file.read().split("\n")[:-1] if line]
    assert all(event["type"] != "ERROR" for event in found), found[-1]
    return found


def pods_at(changes: Sequence[Json], service: str, number: int) -> Iterator[Json]:
    """The pods of that service as they were when the API server had counted to `number`."""
    newest: dict[str, Json] = {}
    for event in changes:
        pod = event["object"]
        if pod["metadata"]["labels"]["serving.octavo.dev/service"] == service and version(pod) <= number:
            newest[pod["metadata"]["uid"]] = event
    for event in newest.values():
        if event["type"] != "DELETED":
            yield event["object"]


def version(resource: Json) -> int:
    return int(resource["metadata"]["resourceVersion"])


def is_serving(pod: Json) -> bool:
    conditions = pod["status"].get("conditions", [])
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    is_leaving = "serving.octavo.dev/draining" in pod["metadata"].get("annotations", {})
    return is_ready and not is_leaving and "deletionTimestamp" not in pod["metadata"]


def verdicts(objects: Sequence[Json]) -> list[tuple[str, str]]:
    """Of each object the verdict and the sentence that kstatus itself gives."""
    lines = "".join(json.dumps(each) + "\n" for each in objects)
    done = subprocess.run([build_tool(KSTATUS)], input=lines, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(each["status"], each["message"]) for each in found]
