"""What an InferenceService's status remembers of its rollout: the operator's only memory that outlives it.

Everything else is read off the objects. Which revision is the stable one, that one has failed, and how far a
canary has come cannot be seen on them.
"""

from dataclasses import dataclass
from typing import Any, Literal

from octavo_api.fields import Fields

EffectiveStrategy = Literal["Surge", "Replace", "Canary"]
_STRATEGIES: dict[str, EffectiveStrategy] = {"Surge": "Surge", "Replace": "Replace", "Canary": "Canary"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFailure:
    """Why a revision was given up; it is not tried again while the spec asks for it."""

    revision: str
    reason: str
    message: str
    at: str
    """RFC 3339 in UTC."""
    settings: str = ""
    """Hash of the spec.rollout under which it failed: under another one it is tried again."""
    was_complete: bool = False
    """It had replaced the stable one, and serves until that has replaced it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    revision: str = ""
    """The wanted revision that the other fields, but `stable`, speak of."""
    stable: str = ""
    """The last revision that was rolled out completely: what a rollback goes back to."""
    previous: str = ""
    """The stable one before `stable`: the way back should that crash soon after."""
    completed_at: str = ""
    """When `stable` took its place; empty where it has served before."""
    strategy: EffectiveStrategy = "Surge"
    """Auto begins as Surge and may have become Replace."""
    passed_percent: int = 0
    """Of a canary: the share with which it has passed the gate; the next step is the first above it."""
    abandoned: str = ""
    """A revision that had failed when another was asked for; it gets nothing while it still has pods."""
    started_at: str = ""
    step_started_at: str = ""
    """When the step's share of the requests first went to the new revision; empty before."""
    failure: RolloutFailure | None = None

    @staticmethod
    def from_fields(fields: Fields) -> "RolloutRecord":
        return RolloutRecord(
            revision=fields.text("revision") or "",
            stable=fields.text("stableRevision") or "",
            previous=fields.text("previousRevision") or "",
            completed_at=fields.text("completedAt") or "",
            strategy=fields.choice("strategy", _STRATEGIES, RolloutRecord().strategy),
            passed_percent=fields.integer("passedPercent", 0),
            abandoned=fields.text("abandonedRevision") or "",
            started_at=fields.text("startedAt") or "",
            step_started_at=fields.text("stepStartedAt") or "",
            failure=_failure(fields.part("failure")) if fields.has("failure") else None,
        )

    def to_manifest(self) -> dict[str, Any]:
        texts = {
            "revision": self.revision,
            "stableRevision": self.stable,
            "previousRevision": self.previous,
            "completedAt": self.completed_at,
            "strategy": self.strategy,
            "startedAt": self.started_at,
            "stepStartedAt": self.step_started_at,
            "abandonedRevision": self.abandoned,
        }
        manifest: dict[str, Any] = {name: text for name, text in texts.items() if text}
        if self.passed_percent:
            manifest["passedPercent"] = self.passed_percent
        if self.failure is not None:
            manifest["failure"] = {
                "wasComplete": self.failure.was_complete,
                "revision": self.failure.revision,
                "reason": self.failure.reason,
                "message": self.failure.message,
                "at": self.failure.at,
                "settings": self.failure.settings,
            }
        return manifest


def _failure(fields: Fields) -> RolloutFailure:
    return RolloutFailure(
        revision=fields.text("revision") or "",
        reason=fields.text("reason") or "",
        message=fields.text("message") or "",
        at=fields.text("at") or "",
        settings=fields.text("settings") or "",
        was_complete=fields.boolean("wasComplete", False),
    )
