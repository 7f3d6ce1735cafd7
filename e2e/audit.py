"""What the operator wrote, by the API server's own audit log."""

import json

from cluster.paths import this_checkout

OPERATOR = "system:serviceaccount:octavo-system:octavo-operator"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def writes(namespace: str) -> list[str]:
    """What the operator has written in the namespace, as `verb resource/name`."""
    found = []
    for line in this_checkout().state.audit_log.read_text().splitlines():
        event = json.loads(line)
        target = event.get("objectRef", {})
        if (
            event["user"]["username"] == OPERATOR
            and event["verb"] in WRITES
            and target.get("namespace") == namespace
        ):
            found.append(f"{event['verb']} {target['resource']}/{target.get('name')}")
    return found
