"""spec.rollout: how a new revision replaces the old one. A change makes no new revision."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from octavo_api.fields import Fields

Strategy = Literal["Auto", "Surge", "Replace", "Canary"]
_STRATEGIES: dict[str, Strategy] = {choice: choice for choice in get_args(Strategy)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStep:
    weight_percent: int
    """Of the requests, and rounded up of the replicas; 1 to 99."""
    pause_seconds: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """The latencies are 95th percentiles, over the step's own requests. None: no bound."""

    max_error_percent: int = 1
    max_ttft_milliseconds: int | None = None
    max_tpot_milliseconds: int | None = None
    min_requests: int = 50
    """Fewer decide nothing: the step goes on."""
    regression_percent: int | None = 50
    """How much worse than the stable revision in the same time the latencies may be. None: not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySpec:
    steps: tuple[CanaryStep, ...] = (CanaryStep(weight_percent=10), CanaryStep(weight_percent=50))
    gate: GateSpec = field(default_factory=GateSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    strategy: Strategy = "Auto"
    max_surge: int = 1
    max_unavailable: int = 0
    min_ready_seconds: int = 0
    progress_deadline_seconds: int = 1800
    revision_history_limit: int = 3
    paused: bool = False
    auto_rollback: bool = True
    canary: CanarySpec = field(default_factory=CanarySpec)

    @staticmethod
    def from_fields(fields: Fields) -> "RolloutSpec":
        """Raises InvalidSpec."""
        default = RolloutSpec()
        return RolloutSpec(
            strategy=fields.choice("strategy", _STRATEGIES, default.strategy),
            max_surge=fields.integer("maxSurge", default.max_surge),
            max_unavailable=fields.integer("maxUnavailable", default.max_unavailable),
            min_ready_seconds=fields.integer("minReadySeconds", default.min_ready_seconds),
            progress_deadline_seconds=fields.integer(
                "progressDeadlineSeconds", default.progress_deadline_seconds
            ),
            revision_history_limit=fields.integer("revisionHistoryLimit", default.revision_history_limit),
            paused=fields.boolean("paused", default.paused),
            auto_rollback=fields.boolean("autoRollback", default.auto_rollback),
            canary=_canary(fields.part("canary")),
        )


def _canary(fields: Fields) -> CanarySpec:
    steps = tuple(_step(part) for part in fields.parts("steps"))
    return CanarySpec(steps=steps or CanarySpec().steps, gate=_gate(fields.part("gate")))


def _step(fields: Fields) -> CanaryStep:
    return CanaryStep(
        weight_percent=fields.required_integer("weightPercent"),
        pause_seconds=fields.integer("pauseSeconds", CanaryStep(weight_percent=1).pause_seconds),
    )


def _gate(fields: Fields) -> GateSpec:
    default = GateSpec()
    regression = fields.integer("regressionPercent", default.regression_percent or 0)
    return GateSpec(
        max_error_percent=fields.integer("maxErrorPercent", default.max_error_percent),
        max_ttft_milliseconds=fields.optional_integer("maxTTFTMilliseconds"),
        max_tpot_milliseconds=fields.optional_integer("maxTPOTMilliseconds"),
        min_requests=fields.integer("minRequests", default.min_requests),
        regression_percent=regression or None,
    )
