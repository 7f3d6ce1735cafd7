"""What to write for a namespace's gateway, from what was seen. Pure, and empty when all stands.

Nothing is ever deleted: every object names all services of the namespace as its owners, and goes with the
last of them by garbage collection.
"""

from octavo_operator.drift import holds, stamped
from octavo_operator.gateway_seen import GatewaySeen
from octavo_operator.observed import GatewayDefaults, Manifest
from octavo_operator.render.gateway import gateway_children


def gateway_plan(seen: GatewaySeen, defaults: GatewayDefaults) -> tuple[Manifest, ...]:
    if not seen.neighbours:
        # Making anything now would fight the garbage collector.
        return ()
    standing = {_identity(item): item for item in seen.objects}
    return tuple(
        manifest
        for manifest in map(stamped, gateway_children(seen, defaults))
        if not holds(standing.get(_identity(manifest)), manifest)
    )


def _identity(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
