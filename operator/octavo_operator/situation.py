"""What the conditions of an InferenceService speak of, gathered from what was seen and planned. Pure."""

from dataclasses import dataclass

from octavo_api.names import ANNOTATION_MODEL_COMMIT, ANNOTATION_MODEL_URI
from octavo_api.rollout_status import RolloutFailure, RolloutRecord
from octavo_api.spec import InferenceService
from octavo_operator.diagnosis import Finding, diagnose
from octavo_operator.drain import Draining
from octavo_operator.engine_deployment import EngineDeployment
from octavo_operator.gateway_status import gateway_ready
from octavo_operator.observed import Observed, Refusal, Resolving, Unresolved
from octavo_operator.plan import Plan
from octavo_operator.preflight import PreflightView
from octavo_operator.rollout_texts import canary_text
from octavo_operator.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the conditions are made of."""

    service: InferenceService
    update: EngineDeployment | None
    """The Deployment of the revision that is rolled out: after a failure, the one to which we go back."""
    revision: str
    asked: str
    """The revision that the spec asks for; empty while the model is not resolved."""
    uri: str
    commit: str | None
    old: tuple[EngineDeployment, ...]
    """Other revisions that have pods, or are about to have."""
    leaving: tuple[Draining, ...]
    record: RolloutRecord
    canary: str
    """What the step under way waits for; empty where there is none."""
    preflight: PreflightView | None
    """Of the asked revision, while it holds that back."""
    is_complete: bool
    unresolved: Resolving | Unresolved | None
    finding: Finding | None
    gateway: Verdict
    refusals: tuple[Refusal, ...]

    @property
    def available_replicas(self) -> int:
        return sum(item.available_replicas for item in (self.update, *self.old) if item is not None)

    @property
    def ready_of_update(self) -> int:
        return self.update.ready_replicas if self.update else 0

    @property
    def failure(self) -> RolloutFailure | None:
        return self.record.failure

    @property
    def counts(self) -> str:
        return f"{self.ready_of_update}/{self.service.replicas} replicas of revision {self.revision}"

    @property
    def is_held_back(self) -> bool:
        return self.service.rollout.paused and (self.update is None or bool(self.old))


def situation_of(
    observed: Observed, todo: Plan, refusals: tuple[Refusal, ...], service: InferenceService
) -> Situation:
    asked = todo.revision.hash8 if todo.revision else ""
    revision = todo.goal or asked
    update = next((item for item in observed.deployments if item.revision == revision), None)
    old = tuple(item for item in observed.deployments if item is not update and observed.has_pods(item))
    commit = todo.revision.commit if todo.revision else None
    is_back = update is not None and revision != asked
    is_held = todo.goal is None and todo.revision is not None
    is_unstarted = update is None and service.rollout.paused
    return Situation(
        service=service,
        update=update,
        revision=revision,
        asked=asked,
        uri=_annotation(update, ANNOTATION_MODEL_URI) if is_back else service.model.uri,
        commit=_annotation(update, ANNOTATION_MODEL_COMMIT) if is_back else commit,
        old=old,
        leaving=todo.leaving,
        record=todo.record or RolloutRecord(),
        canary=canary_text(service, todo.record, todo.verdict) if todo.rollout.is_canary else "",
        preflight=None if todo.preflight is None or todo.preflight.outcome == "passed" else todo.preflight,
        is_complete=todo.is_complete,
        unresolved=todo.unresolved,
        finding=None if todo.unresolved or is_unstarted or is_held else diagnose(update, observed.pods),
        gateway=gateway_ready(observed.gateway, service.name),
        refusals=refusals,
    )


def _annotation(update: EngineDeployment | None, name: str) -> str:
    metadata = update.manifest["metadata"] if update is not None else {}
    annotations: dict[str, str] = metadata.get("annotations") or {}
    return annotations.get(name, "")
