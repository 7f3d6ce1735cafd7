"""What to write, from what was seen. Pure: the same Observed gives the same Plan, and one that is fulfilled
gives an empty one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator import rollout_record
from octavo_operator.autoscaler_plan import AutoscalerPlan, plan_autoscaler
from octavo_operator.drain import Draining, called_back, replicas, victims
from octavo_operator.drift import holds, is_stamped_alike, stamped
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.engine_pod import EnginePod
from octavo_operator.events import Event, drain_event
from octavo_operator.gate import GateVerdict
from octavo_operator.observed import Manifest, Observed, Resolving, Unresolved
from octavo_operator.preflight import POLL, PreflightView, preflights_to_delete
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.render import children
from octavo_operator.render.gateway_token import token_secret
from octavo_operator.render.preflight import preflight_job
from octavo_operator.revision import Revision
from octavo_operator.revisit import ASK_AGAIN, until_drained, until_rollout_moves
from octavo_operator.rollout import Rollout, roll
from octavo_operator.rollout_texts import rollout_events
from octavo_operator.rollout_view import rollout_view
from octavo_operator.wanted import goal_of, made_revision, preflight_of, wanted_revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Of a Deployment whose revision is not the wanted one: nothing else of it is touched."""

    deployment: EngineDeployment
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    revision: Revision | None = None
    """What the spec asks for; None while the model is not resolved (`unresolved` says why)."""
    goal: str | None = None
    """The revision to roll out: the asked one, or after its failure the stable one; None: nothing new."""
    unresolved: Resolving | Unresolved | None = None
    record: RolloutRecord | None = None
    """For the status: what this visit found, on top of `current`."""
    current: RolloutRecord | None = None
    """What this visit acted on."""
    preflight: PreflightView | None = None
    """Of the asked revision, until its Deployment stands; None where it needs none."""
    verdict: GateVerdict | None = None
    is_complete: bool = False
    """The goal has all replicas, available, and no other revision has any."""
    rollout: Rollout = field(default_factory=Rollout)
    create: tuple[Manifest, ...] = ()
    """Secrets, made once and never written over."""
    leaving: tuple[Draining, ...] = ()
    """All pods that are too many, those included that are marked so already."""
    apply: tuple[Manifest, ...] = ()
    scale: tuple[Scale, ...] = ()
    call_back: tuple[EnginePod, ...] = ()
    delete: tuple[EngineDeployment, ...] = ()
    spent_preflights: tuple[PreflightSeen, ...] = ()
    autoscaler: AutoscalerPlan = field(default_factory=AutoscalerPlan)
    takes_away: bool = False
    """Something in here cannot be undone: it has to be decided on what is there, not on a late cache."""
    requeue_after: timedelta | None = None
    reasons: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    """Each goes with a write of `execute`."""
    news: tuple[Event, ...] = ()
    """Each goes with what `record` changes, and so with the status."""

    @property
    def marks(self) -> tuple[Draining, ...]:
        return tuple(item for item in self.leaving if not item.is_marked)


def plan(observed: Observed, now: datetime) -> Plan:
    service = observed.service
    if service is None or observed.deleting:
        # While it is being deleted the garbage collector takes the children: making one anew would fight it.
        return Plan()
    wanted = wanted_revision(observed, service)
    revision = wanted if isinstance(wanted, Revision) else None
    before = observed.status.rollout
    current = rollout_record.current(service, before, revision.hash8, now) if revision else before
    standing = tuple(item for item in observed.deployments if not item.deleting)
    if current is not None and all(item.revision != current.stable for item in standing):
        # Somebody deleted the way back: what was given up is all that is left.
        current = replace(current, failure=None)
    preflight = preflight_of(observed, revision, current, now)
    goal = goal_of(revision, current, preflight)
    view = rollout_view(service, goal, current or RolloutRecord(), standing, observed.pods, now)
    rollout = roll(view)
    leaving = _leaving(observed, service, standing, rollout, now)
    counts = _replicas(observed, standing, rollout)
    engine = made_revision(revision, goal, current, standing)
    # The asked one is not among them while others have to make room for it.
    engine = engine if engine is not None and engine.hash8 in counts else None
    scale = tuple(
        Scale(deployment=item, replicas=counts[item.revision])
        for item in standing
        if (engine is None or item.revision != engine.hash8) and counts[item.revision] != item.replicas
    )
    scaler = plan_autoscaler(observed, service, now)
    num_replicas = 0 if engine is None else counts[engine.hash8]
    rendered = children(service, engine, num_replicas, observed.defaults.gateway)
    rendered += scaler.wanted
    apply = tuple(manifest for manifest in map(stamped, rendered) if not _stands(observed, manifest))
    todo = Plan(
        revision=revision,
        goal=goal,
        unresolved=None if isinstance(wanted, Revision) else wanted,
        current=current,
        preflight=preflight,
        is_complete=_is_complete(observed, service, goal, leaving, apply),
        rollout=rollout,
        create=() if observed.has_token else (token_secret(service, observed.fresh_token),),
        leaving=leaving,
        apply=(*apply, *_preflight_jobs(observed, service, revision, preflight)),
        scale=scale,
        call_back=called_back(observed.pods, leaving),
        delete=_spent(observed, service, standing, goal, current),
        autoscaler=scaler,
        spent_preflights=preflights_to_delete(
            observed, revision.hash8 if revision is not None and preflight is not None else None
        ),
    )
    return _judged(todo, observed, service, standing, counts, now)


def _judged(
    todo: Plan,
    observed: Observed,
    service: InferenceService,
    standing: tuple[EngineDeployment, ...],
    counts: Mapping[str, int],
    now: datetime,
) -> Plan:
    record, verdict, is_complete = todo.current, None, todo.is_complete
    if todo.revision is not None and record is not None:
        step = rollout_record.advance(
            observed, service, record, preflight=todo.preflight, is_complete=is_complete, now=now
        )
        record, verdict = step.record, step.verdict
    todo = replace(todo, record=record, verdict=verdict)
    is_lowered = any(counts[item.revision] < item.replicas for item in standing)
    return replace(
        todo,
        takes_away=bool(todo.marks or is_lowered or todo.delete or todo.autoscaler.replicas == 0),
        requeue_after=_requeue_after(todo, observed, service, now),
        reasons=_reasons(todo),
        events=_events(todo, service, standing, counts),
        news=rollout_events(service, todo.current, record, verdict),
    )


def _is_complete(
    observed: Observed,
    service: InferenceService,
    goal: str | None,
    leaving: tuple[Draining, ...],
    apply: tuple[Manifest, ...],
) -> bool:
    update = next((item for item in observed.deployments if item.revision == goal), None)
    others = any(observed.has_pods(item) for item in observed.deployments if item is not update)
    is_whole = update is not None and update.is_available and update.replicas == service.replicas
    # Its counts do not speak of what is only being written; what a webhook makes of that, they do.
    writes = [manifest for manifest in apply if manifest["kind"] == "Deployment"]
    is_written = update is not None and all(is_stamped_alike(update.manifest, item) for item in writes)
    return is_whole and is_written and not others and not leaving


def _leaving(
    observed: Observed,
    service: InferenceService,
    standing: tuple[EngineDeployment, ...],
    rollout: Rollout,
    now: datetime,
) -> tuple[Draining, ...]:
    timeout = timedelta(seconds=service.drain.timeout_seconds)
    return tuple(
        item
        for deployment in standing
        for item in victims(
            observed.pods_of(deployment),
            rollout.targets.get(deployment.revision, 0),
            observed.gateway_reports,
            timeout,
            now,
        )
    )


def _preflight_jobs(
    observed: Observed,
    service: InferenceService,
    revision: Revision | None,
    preflight: PreflightView | None,
) -> tuple[Manifest, ...]:
    """Made once: a Job cannot be changed, and one that is going is waited for."""
    if revision is None or preflight is None or revision.hash8 in observed.preflights:
        return ()
    return (preflight_job(service, revision),)


def _replicas(observed: Observed, standing: tuple[EngineDeployment, ...], rollout: Rollout) -> dict[str, int]:
    """Revision -> replicas to be written; a revision without a Deployment starts with its target."""
    return dict(rollout.targets) | {
        item.revision: replicas(item.replicas, rollout.targets.get(item.revision, 0), observed.pods_of(item))
        for item in standing
    }


def _spent(
    observed: Observed,
    service: InferenceService,
    standing: tuple[EngineDeployment, ...],
    goal: str | None,
    record: RolloutRecord | None,
) -> tuple[EngineDeployment, ...]:
    """History beyond its limit, the oldest first to go. None is spent before the wanted revision stands."""
    if service.rollout.paused or all(item.revision != goal for item in standing):
        return ()
    record = record or RolloutRecord()
    # The stable one is the way back until another is.
    kept = {goal, record.stable}
    history = [item for item in standing if item.revision not in kept and not observed.has_pods(item)]
    history.sort(key=lambda item: (item.revision == record.previous, item.created), reverse=True)
    return tuple(history[service.rollout.revision_history_limit :])


def _requeue_after(
    todo: Plan, observed: Observed, service: InferenceService, now: datetime
) -> timedelta | None:
    waits = [todo.autoscaler.requeue_after, until_drained(todo.leaving)]
    # What was decided is acted on once it is written.
    waits.append(timedelta(0) if todo.record != todo.current else None)
    waits.append(ASK_AGAIN if todo.unresolved is not None else None)
    waits.append(POLL if todo.preflight is not None else None)
    if todo.record is not None and not (todo.is_complete and todo.record.stable == todo.goal):
        waits += until_rollout_moves(todo.record, observed, service, now)
    return min((wait for wait in waits if wait is not None), default=None)


def _reasons(todo: Plan) -> tuple[str, ...]:
    return (
        *(f"create {manifest['kind']} {manifest['metadata']['name']}" for manifest in todo.create),
        *(f"{_step(item)} pod {item.pod.name}: {item.in_flight} requests in flight" for item in todo.marks),
        *(f"apply {manifest['kind']} {manifest['metadata']['name']}" for manifest in todo.apply),
        *(f"scale Deployment {item.deployment.name} to {item.replicas}" for item in todo.scale),
        *(f"call back pod {pod.name}: it is wanted again" for pod in todo.call_back),
        *(f"delete Deployment {item.name}: spec.rollout.revisionHistoryLimit" for item in todo.delete),
        *todo.autoscaler.reasons,
    )


def _step(item: Draining) -> str:
    if item.timed_out:
        return "DrainTimedOut"
    return "release" if item.released else "drain"


def _events(
    todo: Plan,
    service: InferenceService,
    standing: tuple[EngineDeployment, ...],
    counts: Mapping[str, int],
) -> tuple[Event, ...]:
    """Each goes with a write that makes the same plan impossible, so that none is told twice."""
    events = [drain_event(item, service.drain.timeout_seconds) for item in todo.marks]
    events += todo.autoscaler.events
    update = todo.goal or ""
    before = {item.revision: item.replicas for item in standing}
    beside = [revision for revision, count in before.items() if count > 0 and revision != update]
    if beside and before.get(update, 0) == 0 < counts.get(update, 0):
        events.append(Event("RolloutStarted", f"revision {update} comes up beside {', '.join(beside)}"))
    return tuple(event for event in events if event is not None)


def _stands(observed: Observed, wanted: Manifest) -> bool:
    """Also its stamp has to hold, which tells of fields that we no longer set."""
    live = next((item for item in _children_of(observed) if _identity(item) == _identity(wanted)), None)
    return live is not None and holds(live, wanted)


def _children_of(observed: Observed) -> tuple[Manifest, ...]:
    return (*observed.others, *observed.autoscaler.own, *(item.manifest for item in observed.deployments))


def _identity(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
