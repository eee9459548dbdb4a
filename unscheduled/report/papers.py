"""The figures of a report for papers, drawn by matplotlib, which needs no browser."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from unscheduled.report import words
from unscheduled.report.model import Cell, Report, Workload, on_axis
from unscheduled.report.styles import Style
from unscheduled.scoring import profiles

_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_SETTINGS = {
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # a $ in a name is a $
    "svg.hashsalt": "report",  # the same figure is the same file
}


def save_figures(report: Report, folder: Path) -> list[Path]:
    """Write every figure as SVG and as PNG to `folder`, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with matplotlib.rc_context(cast(Any, _SETTINGS)):
        figures = {"profiles": draw_profiles(report), "ratios": draw_ratios(report)}
        for axis in words.AXES:
            for workload in report.workloads:
                name = f"{quote(workload.name, safe='')}_{axis}"
                figures[f"times_{name}"] = draw_times(workload, axis)
                if workload.curves:
                    figures[f"curves_{name}"] = draw_curves(report, workload, axis)
        for name, figure in figures.items():
            for path in (folder / f"{name}.svg", folder / f"{name}.png"):
                metadata = {"Date": None} if path.suffix == ".svg" else None
                figure.savefig(path, dpi=200, metadata=metadata, bbox_inches="tight")
                paths.append(path)
    return paths


def draw_profiles(report: Report) -> Figure:
    figure, panel = _new(5.5, 3.2)
    for entry in report.entries:
        panel.step(profiles.TAU, entry.row.profile, where="post", **_line(entry.style))
    panel.set(xlabel=words.TAU, ylabel=words.SHARE, xlim=(1, 4), ylim=(-0.02, 1.04))
    _legend(panel, report, {entry.submission for entry in report.entries})
    return figure


def draw_times(workload: Workload, axis: str) -> Figure:
    figure, panel = _new(5.5, 0.7 + 0.32 * len(workload.cells))
    labels = []
    for row, cell in enumerate(workload.cells):
        _draw_times_row(panel, cell, axis, row)
        told = words.to_target(cell, workload.target, axis)
        labels.append(f"{cell.entry.submission}\n{told}")
    panel.set_yticks(range(len(labels)), labels, fontsize=7)
    title, xlabel = workload.name, f"{words.AXES[axis]} to {workload.target}"
    panel.set(xlabel=xlabel, title=title, ylim=(len(labels) - 0.5, -0.5))
    panel.set_xlim(left=0)
    return figure


def draw_curves(report: Report, workload: Workload, axis: str) -> Figure:
    figure, panel = _new(5.5, 3.4)
    for run in workload.curves:
        style, alpha = run.entry.style, 0.85 if run.stands else 0.15
        xs, look = on_axis(axis, run), {**_line(style), "linewidth": 1, "alpha": alpha}
        panel.plot(xs, run.values, **look)
        if run.stands and run.reached:
            mark = {"marker": style.symbol.marker, "markersize": 5}
            panel.plot(on_axis(axis, run.hit), run.hit_value, color=style.color, **mark)
    value, (low, high) = workload.target.value, workload.window
    panel.axhline(value, color="black", linestyle="--", linewidth=1)
    place = {"xycoords": ("axes fraction", "data"), "va": "bottom"}
    panel.annotate(f"target {value:g}", (0.01, value), **place)
    ylabel = f"validation {workload.target.metric}"
    panel.set(xlabel=words.AXES[axis], ylabel=ylabel, title=workload.name)
    panel.set_ylim((low, high) if low < high else None)
    panel.set_xlim(left=0)
    _legend(panel, report, {run.entry.submission for run in workload.curves})
    return figure


def draw_ratios(report: Report) -> Figure:
    workloads = report.scored.leaderboard.base_run
    figure, panel = _new(1.6 + 0.75 * len(workloads), 1.0 + 0.32 * len(report.entries))
    ratios = np.array([entry.ratios for entry in report.entries])
    shown = np.where(np.isfinite(ratios), np.log2(ratios), np.nan)
    panel.imshow(shown, cmap="cividis", vmin=0, vmax=2, aspect="auto")
    place = {"ha": "center", "va": "center", "fontsize": 7}
    for row, entry in enumerate(report.entries):
        for column, told in enumerate(entry.ratio_words):
            color = "white" if shown[row, column] < 1 else "black"
            panel.text(column, row, told, color=color, **place)
    names = [entry.submission for entry in report.entries]
    panel.set_xticks(range(len(workloads)), workloads, rotation=35, ha="right")
    panel.set_yticks(range(len(names)), names)
    panel.grid(False)
    panel.spines[:].set_visible(False)
    return figure


def _new(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), facecolor="white")
    return figure, figure.subplots()


def _line(style: Style) -> dict[str, Any]:
    return {"color": style.color, "linestyle": _DASHES[style.dash]}


def _draw_times_row(panel, cell: Cell, axis: str, row: int) -> None:
    style, interval = cell.entry.style, on_axis(axis, cell.intervals)
    if interval is not None and math.isfinite(interval.low):
        longest = max(cell.spent(axis), interval.low)
        ends = [interval.low, min(interval.high, longest)]
        band = {"alpha": 0.35, "linewidth": 5, "solid_capstyle": "butt"}
        panel.plot(ends, [row, row], color=style.color, **band)
    hits = cell.hits(axis)
    panel.plot(hits, [row] * len(hits), "|", color=style.color, markersize=8)
    marker = "x" if cell.missed else style.symbol.marker
    panel.plot(cell.end(axis), row, marker, color=style.color, clip_on=False)


def _legend(panel, report: Report, shown: Collection[str]) -> None:
    for entry in report.entries:
        if entry.submission in shown:
            mark = {"marker": entry.style.symbol.marker, "markersize": 5}
            panel.plot([], [], label=entry.submission, **_line(entry.style), **mark)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
    panel.legend(**below, ncols=3, frameon=False, fontsize=8)
