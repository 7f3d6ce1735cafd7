"""What to write, from what was seen. Pure: the same Observed gives the same Plan, and one that is fulfilled
gives an empty one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from octavo_api.model_source import FileModel
from octavo_api.names import Reason
from octavo_api.spec import InferenceService
from octavo_operator.drain import Draining, called_back, replicas, victims
from octavo_operator.drift import holds, stamped
from octavo_operator.events import Event, drain_event
from octavo_operator.observed import (
    EngineDeployment,
    EnginePod,
    Manifest,
    Observed,
    Resolved,
    Resolving,
    Unresolved,
)
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.render import children
from octavo_operator.render.gateway_token import token_secret
from octavo_operator.render.pod import pod_template
from octavo_operator.revision import Revision, existing, inputs_of
from octavo_operator.rollout import Rollout, rollout_view, surge

# Nothing in the cluster tells us that a repository, a token or a network has been repaired.
ASK_AGAIN = timedelta(seconds=30)

# How often the gateways are asked while a pod drains.
DRAIN_POLL = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Of a Deployment whose revision is not the wanted one: nothing else of it is touched."""

    deployment: EngineDeployment
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    revision: Revision | None = None
    """The wanted revision; None while the model is not resolved (`unresolved` says why)."""
    unresolved: Resolving | Unresolved | None = None
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
    takes_away: bool = False
    """Something in here cannot be undone: it has to be decided on what is there, not on a late cache."""
    requeue_after: timedelta | None = None
    reasons: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()

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
    update = revision.hash8 if revision else None
    standing = tuple(item for item in observed.deployments if not item.deleting)
    rollout = surge(rollout_view(service, update, standing, observed.pods))
    leaving = _leaving(observed, service, standing, rollout, now)
    counts = _replicas(observed, standing, rollout)
    scale = tuple(
        Scale(deployment=item, replicas=counts[item.revision])
        for item in standing
        if item.revision != update and counts[item.revision] != item.replicas
    )
    # While the wanted revision may not start, it is as if it were not known.
    engine = revision if update in counts else None
    rendered = children(service, engine, counts.get(update or "", 0), observed.defaults.gateway)
    apply = tuple(manifest for manifest in map(stamped, rendered) if not _stands(observed, manifest))
    spent = _spent(observed, service, standing, update)
    todo = Plan(
        revision=revision,
        unresolved=None if isinstance(wanted, Revision) else wanted,
        rollout=rollout,
        create=() if observed.has_token else (token_secret(service, observed.fresh_token),),
        leaving=leaving,
        apply=apply,
        scale=scale,
        call_back=called_back(observed.pods, leaving),
        delete=spent,
    )
    is_lowered = any(counts[item.revision] < item.replicas for item in standing)
    return replace(
        todo,
        takes_away=bool(todo.marks or is_lowered or spent),
        requeue_after=_requeue_after(todo),
        reasons=_reasons(todo),
        events=_events(todo, service, standing, counts),
    )


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
    update: str | None,
) -> tuple[EngineDeployment, ...]:
    """History beyond its limit, the oldest first to go. None is spent before the wanted revision stands."""
    if service.rollout.paused or all(item.revision != update for item in standing):
        return ()
    history = [item for item in standing if item.revision != update and not observed.has_pods(item)]
    history.sort(key=lambda item: item.created, reverse=True)
    return tuple(history[service.rollout.revision_history_limit :])


def _requeue_after(todo: Plan) -> timedelta | None:
    if any(item.released for item in todo.marks):
        # Replicas are lowered by the marks that were seen, and our own writes wake nobody.
        return timedelta(0)
    if any(not item.released for item in todo.leaving):
        return DRAIN_POLL
    return ASK_AGAIN if todo.unresolved is not None else None


def _reasons(todo: Plan) -> tuple[str, ...]:
    return (
        *(f"create {manifest['kind']} {manifest['metadata']['name']}" for manifest in todo.create),
        *(f"{_step(item)} pod {item.pod.name}: {item.in_flight} requests in flight" for item in todo.marks),
        *(f"apply {manifest['kind']} {manifest['metadata']['name']}" for manifest in todo.apply),
        *(f"scale Deployment {item.deployment.name} to {item.replicas}" for item in todo.scale),
        *(f"call back pod {pod.name}: it is wanted again" for pod in todo.call_back),
        *(f"delete Deployment {item.name}: spec.rollout.revisionHistoryLimit" for item in todo.delete),
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
    update = todo.revision.hash8 if todo.revision else ""
    before = {item.revision: item.replicas for item in standing}
    beside = [revision for revision, count in before.items() if count > 0 and revision != update]
    if beside and before.get(update, 0) == 0 < counts.get(update, 0):
        events.append(Event("RolloutStarted", f"revision {update} comes up beside {', '.join(beside)}"))
    return tuple(event for event in events if event is not None)


def wanted_revision(observed: Observed, service: InferenceService) -> Revision | Resolving | Unresolved:
    """An existing revision for the same fields keeps what the operator added then; else a new one is made."""
    if (revision := existing(service, observed.deployments)) is not None:
        return revision
    if not isinstance(observed.resolution, Resolved):
        return observed.resolution
    if isinstance(service.model.source, FileModel) and observed.defaults.model_root is None:
        return Unresolved(
            Reason.MODEL_ROOT_NOT_CONFIGURED,
            f"{service.model.uri}: this operator serves no local folders; start it with --model-root "
            "(OCTAVO_MODEL_ROOT) or use hf:// or pvc://",
            terminal=True,
        )
    commit = observed.resolution.commit
    return Revision(
        inputs=inputs_of(service),
        image=service.engine.image or observed.defaults.engine_image,
        commit=commit,
        template=pod_template(service, commit, observed.defaults),
    )


def _stands(observed: Observed, wanted: Manifest) -> bool:
    """Also its stamp has to hold, which tells of fields that we no longer set."""
    live = next((item for item in _children_of(observed) if _identity(item) == _identity(wanted)), None)
    return live is not None and holds(live, wanted)


def _children_of(observed: Observed) -> tuple[Manifest, ...]:
    return (*observed.others, *(item.manifest for item in observed.deployments))


def _identity(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
