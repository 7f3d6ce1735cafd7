"""What the operator wrote, by the API server's own audit log."""

import json
from collections.abc import Iterable

from cluster.paths import this_checkout

OPERATOR = "system:serviceaccount:octavo-system:octavo-operator"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def writes(namespace: str) -> list[str]:
    """What the operator has written in the namespace, as `verb resource/name`."""
    return written(this_checkout().state.audit_log.read_text().splitlines(), {namespace})


def now() -> int:
    """For `writes_since`."""
    return this_checkout().state.audit_log.stat().st_size


def writes_since(position: int, namespaces: set[str]) -> list[str]:
    """What the operator has written there since `position` was the log's end."""
    with this_checkout().state.audit_log.open() as log:
        log.seek(position)
        return written(log, namespaces)


def written(lines: Iterable[str], namespaces: set[str]) -> list[str]:
    found = []
    for line in lines:
        event = json.loads(line)
        target = event.get("objectRef", {})
        if (
            event["user"]["username"] == OPERATOR
            and event["verb"] in WRITES
            and target.get("namespace") in namespaces
        ):
            found.append(f"{event['verb']} {target['resource']}/{target.get('name')}")
    return found
