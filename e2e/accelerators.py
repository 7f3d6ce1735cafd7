"""Accelerators in name only: a node that says it has some, for stories about too few of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubectl import Kubectl

RESOURCE = "example.com/gpu"
ENGINE = {
    "image": "octavo.local/misbehaving:dev",
    "env": [{"name": "MISBEHAVE", "value": "fake-accelerator"}],
}
"""For spec.engine of a service whose accelerator is RESOURCE: its engines work on the CPU."""
ACCELERATOR = {"resourceName": RESOURCE}
"""For spec.accelerator."""


@contextmanager
def accelerators(cluster: Kubectl, node: str, count: int = 1) -> Iterator[None]:
    """The node has `count` of RESOURCE, and has none again afterwards."""
    patch_status(cluster, node, "add", str(count))
    try:
        yield
    finally:
        patch_status(cluster, node, "remove")


def patch_status(cluster: Kubectl, node: str, verb: str, *value: str) -> None:
    # The kubelet keeps what others wrote into capacity, and copies it into allocatable some seconds later.
    paths = (f"/status/{field}/{RESOURCE.replace('/', '~1')}" for field in ("capacity", "allocatable"))
    operations: list[dict[str, Any]] = [{"op": verb, "path": path} for path in paths]
    for operation in operations:
        operation |= {"value": value[0]} if value else {}
    cluster("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(operations))
