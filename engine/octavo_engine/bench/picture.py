"""A result as a picture: rates on top, latencies below, the machine in the title."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from octavo_engine.bench.result import BatchResult, BenchResult
from octavo_engine.bench.table import burst_lines, environment_lines
from octavo_engine.errors import InvalidEngineConfig

BLUE, ORANGE, INK, FAINT = "#2563a8", "#d97706", "#1f2933", "#d9dee4"


def check_can_draw() -> None:
    """Before minutes of measuring, not after."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InvalidEngineConfig(
            "the picture needs matplotlib: pip install 'octavo[dev]', or give --no-picture"
        ) from error


def draw(result: BenchResult, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.2), dpi=150, facecolor="white")
    panels = figure.subplots(2, 2, gridspec_kw={"hspace": 0.55, "wspace": 0.24})
    figure.subplots_adjust(left=0.075, right=0.975, top=0.83, bottom=0.16)
    batches = result.batches
    _bars(panels[0][0], batches, "Decode", "tokens a second", [batch.decode_rate for batch in batches])
    _bars(panels[0][1], batches, "Prefill", "tokens a second", [batch.prefill_rate for batch in batches])
    _latencies(panels[1][0], batches, "Between tokens", "milliseconds", [
        (batch.between_tokens.p50, batch.between_tokens.p99) for batch in batches
    ])  # fmt: skip
    _latencies(panels[1][1], batches, "First token", "seconds", [
        (batch.first_token.p50 / 1000, batch.first_token.p99 / 1000) for batch in batches
    ])  # fmt: skip
    title, machine = environment_lines(result.environment)
    figure.text(0.03, 0.955, title, fontsize=14, fontweight="bold", color=INK, va="center")
    figure.text(0.03, 0.918, machine, fontsize=9.5, color=INK, va="center")
    for number, line in enumerate(burst_lines(result.burst)):
        figure.text(0.03, 0.055 - 0.027 * number, line.strip(), fontsize=9.5, color=INK, va="center")
    figure.savefig(path, format="png")


def _bars(panel: Any, batches: Sequence[BatchResult], title: str, unit: str, values: Sequence[float]) -> None:
    bars = panel.bar(_names(batches), values, width=0.62, color=BLUE)
    panel.bar_label(bars, labels=[_short(value) for value in values], padding=2, fontsize=9, color=INK)
    _dress(panel, title, unit)


def _latencies(
    panel: Any, batches: Sequence[BatchResult], title: str, unit: str, values: Sequence[tuple[float, float]]
) -> None:
    """The median's label stands left and the tail's right, so that close values do not cover each other."""
    names = _names(batches)
    medians, tails = zip(*values, strict=True)
    panel.vlines(names, medians, tails, color=FAINT, linewidth=5, zorder=1)
    p50, p99 = ("p50", medians, BLUE, "right", -9), ("p99", tails, ORANGE, "left", 9)
    for label, points, color, side, gap in (p50, p99):
        panel.plot(names, points, "o", color=color, markersize=7, label=label)
        for name, value in zip(names, points, strict=True):
            panel.annotate(_short(value), (name, value), (gap, 0), textcoords="offset points", fontsize=9,
                           color=color, ha=side, va="center")  # fmt: skip
    panel.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)
    panel.set_xlim(-0.5, len(names) - 0.5)
    _dress(panel, title, unit)
    panel.set_ylim(0, max(tails) * 1.3)


def _dress(panel: Any, title: str, unit: str) -> None:
    panel.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK)
    panel.set_ylabel(unit, fontsize=9, color=INK)
    panel.set_xlabel("requests in the batch", fontsize=9, color=INK)
    panel.tick_params(labelsize=9, colors=INK, length=0)
    panel.grid(axis="y", color=FAINT, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.margins(y=0.14)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color(FAINT)


def _names(batches: Sequence[BatchResult]) -> list[str]:
    return [str(batch.batch) for batch in batches]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
