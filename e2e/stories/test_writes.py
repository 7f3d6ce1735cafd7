"""The API server's audit log shows what the operator writes: nothing, when there is nothing to do."""

import json
import time
from typing import Any

from cluster.paths import this_checkout
from kubectl import Kubectl

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


def test_a_reconcile_with_nothing_to_do_writes_nothing(
    kubectl: Kubectl, serve: Any, until: Any, tiny_model: str
) -> None:
    serve("tiny", tiny_model)
    namespace = str(kubectl.namespace)
    assert "patch deployments/" in " ".join(writes(namespace)), "the audit log shows the operator's writes"
    settled(namespace)
    before = writes(namespace)

    for number in range(5):  # each touches the service, so that the operator looks at it again
        kubectl("annotate", "infsvc", "tiny", f"example.com/touched={number}", "--overwrite")
        time.sleep(1)

    assert writes(namespace) == before


def settled(namespace: str) -> None:
    """Wait until two seconds pass without a write: pods may still report after Ready."""
    seen = -1
    while (now := len(writes(namespace))) != seen:
        seen = now
        time.sleep(2)
