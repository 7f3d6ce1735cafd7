"""What to write, from what was seen. Pure: the same Observed gives the same Plan, and one that is fulfilled
gives an empty one.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from octavo_api.model_source import FileModel
from octavo_api.names import Reason
from octavo_api.spec import InferenceService
from octavo_operator.drift import holds, stamped
from octavo_operator.observed import (
    EngineDeployment,
    Manifest,
    Observed,
    Resolved,
    Resolving,
    Unresolved,
)
from octavo_operator.render import children
from octavo_operator.render.gateway_token import token_secret
from octavo_operator.render.pod import pod_template
from octavo_operator.revision import Revision, existing, inputs_of
from octavo_operator.rollout import Rollout, surge

# Nothing in the cluster tells us that a repository, a token or a network has been repaired.
ASK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    revision: Revision | None = None
    """The wanted revision; None while the model is not resolved (`unresolved` says why)."""
    unresolved: Resolving | Unresolved | None = None
    rollout: Rollout = field(default_factory=Rollout)
    create: tuple[Manifest, ...] = ()
    """Secrets, made once and never written over."""
    apply: tuple[Manifest, ...] = ()
    delete: tuple[EngineDeployment, ...] = ()
    requeue_after: timedelta | None = None
    reasons: tuple[str, ...] = ()


def plan(observed: Observed, now: datetime) -> Plan:
    """`now` is an argument because time decides too, once rollouts have steps."""
    service = observed.service
    if service is None or observed.deleting:
        # While it is being deleted the garbage collector takes the children: making one anew would fight it.
        return Plan()
    wanted = wanted_revision(observed, service)
    revision = wanted if isinstance(wanted, Revision) else None
    rollout = surge(observed.deployments, revision.hash8 if revision else None, service.replicas)
    create = () if observed.has_token else (token_secret(service, observed.fresh_token),)
    apply = tuple(
        manifest
        for manifest in map(stamped, children(service, revision, service.replicas, observed.defaults.gateway))
        if not _stands(observed, manifest)
    )
    return Plan(
        revision=revision,
        unresolved=None if isinstance(wanted, Revision) else wanted,
        rollout=rollout,
        create=create,
        apply=apply,
        delete=rollout.retire,
        requeue_after=None if isinstance(wanted, Revision) else ASK_AGAIN,
        reasons=(
            *(f"create {manifest['kind']} {manifest['metadata']['name']}" for manifest in create),
            *(f"apply {manifest['kind']} {manifest['metadata']['name']}" for manifest in apply),
            *(f"delete Deployment {item.name}: its revision is replaced" for item in rollout.retire),
        ),
    )


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
