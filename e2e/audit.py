"""What the operator wrote, by the API server's own audit log."""

import json
import os
from collections.abc import Iterable

from cluster.paths import this_checkout

OPERATOR = "system:serviceaccount:octavo-system:octavo-operator"
LONGEST_LINE = 2**20
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def writes(namespace: str) -> list[str]:
    """What the operator has written in the namespace, as `verb resource/name`."""
    return writes_since(0, {namespace})


def now() -> int:
    """For `writes_since`: the end of the last whole line."""
    with this_checkout().state.audit_log.open("rb") as log:
        start = max(0, log.seek(0, os.SEEK_END) - LONGEST_LINE)
        log.seek(start)
        return start + log.read().rfind(b"\n") + 1


def writes_since(position: int, namespaces: set[str]) -> list[str]:
    """What the operator has written there since `position` was the log's end."""
    with this_checkout().state.audit_log.open() as log:
        log.seek(position)
        return written(log, namespaces)


def written(lines: Iterable[str], namespaces: set[str]) -> list[str]:
    """The last line may be half written: the API server is at it."""
    found = []
    for line in lines:
        if not line.endswith("\n"):
            break
        event = json.loads(line)
        target = event.get("objectRef", {})
        if (
            event["user"]["username"] == OPERATOR
            and event["verb"] in WRITES
            and target.get("namespace") in namespaces
        ):
            found.append(f"{event['verb']} {target['resource']}/{target.get('name')}")
    return found
