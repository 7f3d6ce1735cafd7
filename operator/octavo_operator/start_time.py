"""How long a replica takes to start, measured. Pure."""

from collections.abc import Iterable
from itertools import pairwise
from statistics import median_low

from octavo_operator.engine_pod import EnginePod

STEPS = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600)
"""Seconds; the autoscaler's behaviour hangs on the value, so it must not follow each small difference."""


def start_seconds(pods: Iterable[EnginePod], before: int) -> int:
    """From creation to Ready, of the middle one of the ready pods, rounded up to a step.

    A pod that was ready, was not, and is again looks as if it had started slowly: the others outvote it.
    It goes up at once, and down only when the measure is two steps lower: a start that takes now a little
    less and now a little more than a step changes nothing. `before` stays while no pod tells.
    """
    taken = [
        (pod.ready_since - pod.created).total_seconds()
        for pod in pods
        if pod.ready and pod.ready_since is not None and pod.restarts == 0
    ]
    if not taken:
        return before
    measured = next((step for step in STEPS if step >= median_low(taken)), STEPS[-1])
    return before if measured == _step_below(before) else measured


def _step_below(seconds: int) -> int | None:
    return next((below for below, step in pairwise(STEPS) if step == seconds), None)
