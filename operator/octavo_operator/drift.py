"""Does an object in the cluster still say what we want it to say?

Only fields that we set are ours. What the API server fills in, or another manager adds, is left alone; a
field that we no longer set shows in the hash of the manifest, which travels in an annotation.
"""

from collections.abc import Mapping
from typing import Any

from octavo_api.errors import InvalidSpec
from octavo_api.names import ANNOTATION_APPLIED_HASH
from octavo_api.quantity import parse_quantity
from octavo_operator.observed import Manifest
from octavo_operator.revision import canonical, short_hash

# Lists that server-side apply merges element by element, and by which field. All others are replaced whole.
MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ownerReferences": "uid",
    "imagePullSecrets": "name",
}
# Written whole, and the API server adds nothing inside: what stands there beside ours changes its meaning.
EXACT = frozenset({"rules", "selector"})
QUANTITIES = frozenset({"requests", "limits", "sizeLimit"})


def stamped(manifest: Manifest) -> Manifest:
    """The manifest with its own hash in an annotation."""
    annotations = {
        **manifest["metadata"].get("annotations", {}),
        ANNOTATION_APPLIED_HASH: short_hash(canonical(manifest)),
    }
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


def is_stamped_alike(live: Manifest, wanted: Manifest) -> bool:
    """Whether the last that we wrote was this, whatever became of it since."""
    return _stamp(live) == _stamp(wanted)


def _stamp(manifest: Manifest) -> str:
    annotations: dict[str, str] = manifest["metadata"].get("annotations") or {}
    return annotations.get(ANNOTATION_APPLIED_HASH, "")


def holds(live: Any, wanted: Any, field: str = "", inside: str = "") -> bool:
    """Whether every field of `wanted` has that value in `live`."""
    # Mostly it is the very same, which Python compares many times faster than we do.
    if live == wanted:
        return True
    if field in EXACT:
        return False
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            holds(live.get(name), value, name, field) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return _list_holds(live or [], wanted, field)
    if QUANTITIES & {field, inside}:
        return _same_quantity(live, wanted)
    # The API server leaves out what is empty, null or false.
    return live is None and wanted in ("", False)


def _list_holds(live: list[Any], wanted: list[Any], field: str) -> bool:
    if key := MERGE_KEYS.get(field):
        by_key = {item.get(key): item for item in live}
        return all(holds(by_key.get(item[key]), item) for item in wanted)
    return len(live) == len(wanted) and all(holds(*pair) for pair in zip(live, wanted, strict=True))


def _same_quantity(live: Any, wanted: Any) -> bool:
    """The API server writes quantities its own way: 1024Mi comes back as 1Gi."""
    try:
        return parse_quantity(str(live), field="") == parse_quantity(str(wanted), field="")
    except InvalidSpec:
        return False
