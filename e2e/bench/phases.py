"""The phases of a run, one after the other, each adding its figures."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

import audit
from bench import measure
from bench.figures import Figures, Load
from bench.measure import Key
from bench.progress import say
from bench.scratch_operator import ScratchOperator
from bench.watched import Watched, watched
from kubectl import Kubectl


@dataclass(frozen=True, slots=True)
class Bench:
    kubectl: Kubectl
    operator: ScratchOperator
    load: Load
    namespaces: list[str]
    options: argparse.Namespace

    @property
    def keys(self) -> list[Key]:
        numbers = range(self.load.services)
        return [(self.namespaces[number % len(self.namespaces)], f"s{number:03}") for number in numbers]


async def run(bench: Bench, keep: Callable[[Figures], None]) -> None:
    """`keep` gets the figures so far after each phase."""
    figures = Figures(load=bench.load)
    phases = [become_ready, rest, change, restart, delete]
    async with watched(bench.kubectl.kubeconfig, set(bench.namespaces)) as seen:
        for phase in phases:
            figures = await phase(bench, seen, figures)
            keep(figures)


async def become_ready(bench: Bench, seen: Watched, figures: Figures) -> Figures:
    operator, options = bench.operator, bench.options
    after = await measure.become_ready(seen, operator, bench.keys, bench.load.replicas, options.patience)
    say(f"all Ready after {after:.1f} s")
    await measure.until_idle(operator)
    return replace(
        figures, ready_after=after, ready_cpu_seconds=operator.cpu_seconds(), memory=measure.memory(operator)
    )


async def rest(bench: Bench, seen: Watched, figures: Figures) -> Figures:
    if not (seconds := bench.options.rest_seconds):
        return figures
    say(f"at rest for {seconds:.0f} s")
    found = await measure.rest(bench.kubectl, bench.operator, set(bench.namespaces), seconds)
    return replace(figures, rest=found)


async def change(bench: Bench, seen: Watched, figures: Figures) -> Figures:
    if not (seconds := bench.options.change_seconds):
        return figures
    say(f"{bench.options.rate:g} changes a second for {seconds:.0f} s")
    found = await measure.latencies(seen, bench.keys, rate=bench.options.rate, seconds=seconds)
    return replace(figures, latencies=found, memory_after_changes=measure.memory(bench.operator))


async def restart(bench: Bench, seen: Watched, figures: Figures) -> Figures:
    if bench.options.no_restart:
        return figures
    await measure.until_idle(bench.operator)
    say("the operator is started again")
    return replace(figures, restart=await measure.restart(bench.operator, set(bench.namespaces)))


async def delete(bench: Bench, seen: Watched, figures: Figures) -> Figures:
    if bench.options.no_deletion:
        return figures
    say("the services are deleted")
    position, own = audit.now(), set(bench.namespaces)
    gone = await measure.gone(seen.server, bench.operator, own, bench.options.patience)
    return replace(figures, gone_after=gone, writes_while_deleting=tuple(audit.writes_since(position, own)))
