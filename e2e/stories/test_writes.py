"""The API server's audit log shows what the operator writes: nothing, when there is nothing to do."""

import time
from typing import Any

from audit import writes
from kubectl import Kubectl


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
