"""How fast an autoscaler may move, by the time that a replica takes to start. Pure.

Up. A replica that is asked for serves one start later. The KV metric needs no bound: replicas that load have
no sample and count as 0 on the way up, so it asks for at most 100/kvCachePercent of what serves (1.43 times
at 70 %), and for no more until the new ones serve. The waiting metric has no upper end: what gathers during
one start asks for everything at once, though the replicas under way may answer it. So within one start at
most as many come as stand, and two where one stands: 1, 3, 6, 12. A wish counts after a tenth of a start, at
most a minute: that delays relief by no more than 10 %, and a burst that is over sooner starts nothing.

Down. What is given up costs a whole start to get back: one replica a start, and only what nobody has asked
for during two. While a rollout runs none goes: the pods of two revisions share the load, and the shares move.
"""

from octavo_api.autoscaling_spec import AutoscalingSpec
from octavo_operator.observed import Manifest

ASSUMED_START = 120
"""Seconds; until a replica has become ready."""
LONGEST_PERIOD = 1800
LONGEST_WINDOW = 3600
"""As autoscaling/v2 bounds them."""


def scaling_behavior(spec: AutoscalingSpec, start_seconds: int, *, rolling: bool) -> Manifest:
    """`start_seconds` is 0 while it is not known. The user's rules replace ours field by field."""
    start = start_seconds or ASSUMED_START
    up = {
        "stabilizationWindowSeconds": min(60, start // 10),
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 2, "periodSeconds": _period(15, start)},
            {"type": "Percent", "value": 100, "periodSeconds": _period(15, start)},
        ],
    }
    down = {
        "stabilizationWindowSeconds": min(LONGEST_WINDOW, max(300, 2 * start)),
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": _period(60, start)}],
    }
    held = {"selectPolicy": "Disabled"} if rolling else {}
    return {"scaleUp": up | dict(spec.scale_up), "scaleDown": down | dict(spec.scale_down) | held}


def _period(least: int, start: int) -> int:
    return min(LONGEST_PERIOD, max(least, start))
