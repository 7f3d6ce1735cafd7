"""What the stories of rollouts do to the service `tiny`, and what they read of it."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from kubectl import Kubectl
from storytelling import CLIENT, client_pod, condition_of, engines_of, inference_service, is_settled
from traffic import Traffic, streams

NAME = "tiny"


@dataclass(frozen=True, slots=True)
class Rolling:
    kubectl: Kubectl
    until: Callable[..., Any]
    uri: str

    def begin(self, **spec: Any) -> None:
        """The client's pod, and the service complete."""
        self.kubectl.apply(client_pod())
        self.write(**spec)
        self.settled()
        self.kubectl("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=60s")

    def write(self, uri: str = "", **spec: Any) -> None:
        """The whole spec, as from Git: what is not given goes back to its default."""
        gateway = {"queueTimeoutSeconds": 120}
        self.kubectl.apply(inference_service(NAME, uri or self.uri, gateway=gateway, **spec))

    def traffic(self) -> AbstractContextManager[Traffic]:
        """Streams that leave a small machine time for what changes around them."""
        return streams(self.kubectl, NAME, concurrency=16, least_tokens=8, most_tokens=32)

    def patch(self, **spec: Any) -> None:
        self.kubectl("patch", "infsvc", NAME, "--type=merge", "-p", json.dumps({"spec": spec}))

    def settled(self, seconds: float = 120) -> None:
        self.until("one settled replica", lambda: is_settled(self.kubectl, NAME, 1), seconds=seconds)

    def engines(self) -> list[dict[str, Any]]:
        """Its pods, without those that are being deleted."""
        return [pod for pod in engines_of(self.kubectl, NAME) if "deletionTimestamp" not in pod["metadata"]]

    def pods(self) -> dict[str, int]:
        """Of each pod: uid -> restarts of its container."""
        return {
            pod["metadata"]["uid"]: sum(
                each["restartCount"] for each in pod["status"].get("containerStatuses", [])
            )
            for pod in self.engines()
        }

    def revisions(self) -> set[str]:
        """Those that have pods."""
        return {pod["metadata"]["labels"]["serving.octavo.dev/revision"] for pod in self.engines()}

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.get("infsvc", NAME)["status"].get("rollout", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        return condition_of(self.kubectl, NAME, kind)

    def reason(self, kind: str) -> str:
        return str(self.condition(kind).get("reason", ""))

    def given_up(self, seconds: float = 90) -> dict[str, Any]:
        """Wait until the asked revision has been given up and what ran before serves alone again."""
        what = "the change is given up, and Stalled says so"
        self.until(what, lambda: self.reason("Stalled") == "RolledBack", seconds=seconds)
        assert self.reason("Ready") == "RolledBack"
        assert self.reason("Available") == "Available"
        failure: dict[str, Any] = self.record()["failure"]
        assert failure["message"] in self.condition("Stalled")["message"]
        told = lambda: any(failure["message"] in note for note in self.events("RolledBack"))  # noqa: E731
        self.until("an event that says so, too", told, seconds=10)
        return failure

    def events(self, reason: str) -> list[str]:
        """What the service's events of that reason say."""
        found = self.kubectl.items("events", f"--field-selector=reason={reason},involvedObject.name={NAME}")
        return [event["message"] for event in found]


def faulty(image: str, faults: str) -> dict[str, Any]:
    """For spec.engine: an engine that misbehaves."""
    return {"image": image, "env": [{"name": "MISBEHAVE", "value": faults}]}


def sequences(number: int) -> dict[str, Any]:
    """For spec.engine: what makes another revision and changes nothing else."""
    return {"scheduling": {"maxRunningRequests": number}}
