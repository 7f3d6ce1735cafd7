"""Which revision a service wants, and whether it may have it. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from octavo_api.model_source import FileModel
from octavo_api.names import Reason
from octavo_api.rollout_status import RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.observed import Observed, Resolved, Resolving, Unresolved
from octavo_operator.preflight import PreflightView, preflight_wanted
from octavo_operator.render.pod import pod_template
from octavo_operator.revision import Revision, existing, inputs_of, thawed


def wanted_revision(observed: Observed, service: InferenceService) -> Revision | Resolving | Unresolved:
    """An existing revision for the same fields keeps what the operator added then; else a new one is made."""
    if (revision := existing(service, observed.deployments)) is not None:
        return replace(revision, uri=service.model.uri)
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
        uri=service.model.uri,
        commit=commit,
        template=pod_template(service, commit, observed.defaults),
    )


def goal_of(
    revision: Revision | None,
    record: RolloutRecord | None,
    preflight: PreflightView | None,
) -> str | None:
    """The revision to roll out: the asked one, or after its failure the stable one; None: nothing new."""
    if revision is None or record is None:
        return None
    if record.failure is not None:
        return record.stable
    return revision.hash8 if preflight is None or preflight.outcome == "passed" else None


def made_revision(
    revision: Revision | None,
    goal: str | None,
    record: RolloutRecord | None,
    standing: Iterable[EngineDeployment],
) -> Revision | None:
    """The one whose Deployment is written whole: the asked one, or while that may not start the stable one.

    That is kept as it was recorded, though the spec says otherwise by now.
    """
    if revision is not None and revision.hash8 == goal:
        return revision
    stable = record.stable if record is not None else ""
    return next((thawed(item) for item in standing if item.revision == stable), None)


def preflight_of(
    observed: Observed, revision: Revision | None, record: RolloutRecord | None, now: datetime
) -> PreflightView | None:
    """None where the asked revision needs none, or has failed already."""
    if revision is None or record is None or record.failure is not None:
        return None
    if not preflight_wanted(observed, revision.hash8):
        return None
    return PreflightView.of(observed.preflights.get(revision.hash8), now)
