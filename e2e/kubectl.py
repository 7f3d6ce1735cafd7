"""kubectl against the local cluster, and only against it."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Manifest = Mapping[str, Any]


class KubectlFailed(Exception):
    """A kubectl command failed; the message is the command and what kubectl said."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl with the local cluster's kubeconfig, whatever the user's own context is."""

    binary: Path
    kubeconfig: Path
    namespace: str | None = None

    def within(self, namespace: str) -> "Kubectl":
        return Kubectl(self.binary, self.kubeconfig, namespace)

    def command(self, *arguments: str) -> list[str]:
        scope = [f"--namespace={self.namespace}"] if self.namespace else []
        return [str(self.binary), f"--kubeconfig={self.kubeconfig}", *scope, *arguments]

    def __call__(
        self, *arguments: str, input: str | None = None, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Raises KubectlFailed when `check` is set and kubectl does not exit with 0."""
        done = subprocess.run(
            self.command(*arguments),
            input=input,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise KubectlFailed(
                f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done

    def apply(self, *manifests: Manifest) -> None:
        self("apply", "-f", "-", input="\n---\n".join(map(json.dumps, manifests)))

    def get(self, *arguments: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self("get", *arguments, "-o", "json").stdout)
        return value

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(*arguments)["items"]
        return found


def condition(resource: Manifest, kind: str) -> dict[str, Any]:
    """The condition of that type in the resource's status, or an empty one."""
    found: list[dict[str, Any]] = resource.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})
