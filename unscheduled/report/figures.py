"""The charts of the page, as plotly figures of a report.

Other colours than those of submissions are the page's, which has a light and a dark
theme. It shows and hides traces by their `legendgroup`, which is the submission.
"""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from unscheduled.benchmark.targets import Target
from unscheduled.report import words
from unscheduled.report.model import Cell, Entry, Report, Workload, on_axis
from unscheduled.report.styles import Style
from unscheduled.scoring import profiles

_MARKED = 40  # evaluations up to which each is marked
_X = "%{{x:,.6g}} {}"
_AT = "%{{y:.5g}} at %{{x:,.6g}} {}"  # of a curve; plotly fills in x and y


def to_json(report: Report) -> str:
    """All charts, by the names that the page's elements give them."""
    charts = {"profiles": profile_chart(report), "ratios": ratios_chart(report)}
    for axis in words.AXES:
        for i, workload in enumerate(report.workloads):
            charts[f"times/{axis}/{i}"] = times_chart(workload, axis)
            charts[f"curves/{axis}/{i}"] = curves_chart(workload, axis)
    texts = [f'"{name}": {chart.to_json()}' for name, chart in charts.items()]
    return f"{{{', '.join(texts)}}}"


def profile_chart(report: Report) -> go.Figure:
    figure = _figure(height=400)
    for entry in report.entries:
        line = {**_line(entry.style), "width": 2.5, "shape": "hv"}
        hover = "%{y:.0%} of workloads within %{x:.2f}x"
        taus, shares = _floats(profiles.TAU), _floats(entry.row.profile)
        _add(figure, entry, taus, shares, hover, mode="lines", line=line)
    figure.update_xaxes(title_text=words.TAU, range=[0.98, 4], ticksuffix="x")
    figure.update_yaxes(title_text=words.SHARE, range=[-0.02, 1.04], tickformat=".0%")
    return figure


def times_chart(workload: Workload, axis: str) -> go.Figure:
    """Median to target with its interval and all studies, a row a submission."""
    cells = workload.cells
    height = 46 + 44 * len(cells)
    figure = _figure(height, margin={"l": 8, "r": 12, "t": 4, "b": 40})
    ends = [end for cell in cells for end in (*cell.hits(axis), cell.end(axis))]
    right = 1.04 * max((end for end in ends if math.isfinite(end)), default=1.0)
    for row, cell in enumerate(cells):
        _add_times(figure, cell, workload.target, axis, -row, right)
    figure.update_traces(cliponaxis=False)
    figure.update_xaxes(title_text=words.AXES[axis], range=[0, right], nticks=6)
    figure.update_yaxes(range=[0.35 - len(cells), 0.75], visible=False, fixedrange=True)
    return figure


def curves_chart(workload: Workload, axis: str) -> go.Figure:
    figure, value = _figure(height=460), workload.target.value
    for run in workload.curves:
        _add(
            figure,
            run.entry,
            _floats(on_axis(axis, run)),
            _floats(run.values),
            _AT.format(axis),
            name=run.name,
            mode="lines+markers" if len(run.values) <= _MARKED else "lines",
            line={**_line(run.entry.style), "width": 1.6},
            marker={"size": 4, "color": run.entry.style.color},
            opacity=0.85 if run.stands else 0.15,
        )
    for run in workload.curves:
        if run.stands and run.reached:
            x, hover = on_axis(axis, run.hit), f"target reached: {_AT.format(axis)}"
            _mark(figure, run.entry, [x], run.hit_value, hover, name=run.name)
    for cell in workload.cells:
        if cell.entry.is_published and not cell.missed:  # without curves
            look = (f"{cell.entry.style.symbol.name}-open", 12, 2.5)
            x, hover = on_axis(axis, cell.result), "published median: "
            _mark(figure, cell.entry, [x], value, hover + _X.format(axis), look)
    line, text = {"dash": "dash", "width": 1.5}, f"<b>target {value:g}</b>"
    figure.add_hline(value, line=line, annotation_text=text)
    figure.update_annotations(x=0.008, xanchor="left", yanchor="bottom")
    figure.update_xaxes(title_text=words.AXES[axis], rangemode="tozero")
    figure.update_yaxes(
        title_text=f"validation {workload.target.metric}", range=list(workload.window)
    )
    return figure


def ratios_chart(report: Report) -> go.Figure:
    """Time over the fastest, a row a submission and a column a base workload."""
    submissions = np.array([_plain(entry.submission) for entry in report.entries])
    workloads = np.array([_plain(name) for name in report.scored.leaderboard.base_run])
    ratios = np.array([entry.ratios for entry in report.entries])
    texts = np.array([entry.ratio_words for entry in report.entries])
    missed = ~np.isfinite(ratios)
    height = 170 + 34 * len(submissions)
    figure = _figure(height, margin={"l": 8, "r": 40, "t": 8, "b": 8})
    figure.add_heatmap(
        x=workloads,
        y=submissions,
        z=np.where(missed, np.nan, np.log2(ratios)).tolist(),
        text=np.where(missed, "", texts).tolist(),
        texttemplate="%{text}",
        textfont={"size": 12},
        hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
        colorscale="Cividis",
        zmin=0,
        zmax=2,
        showscale=False,
        xgap=2,
        ygap=2,
    )
    rows, columns = np.nonzero(missed)
    words_of_none = {"text": texts[missed], "mode": "text", "hoverinfo": "skip"}
    figure.add_scatter(x=workloads[columns], y=submissions[rows], **words_of_none)
    axes = {"type": "category", "showgrid": False, "fixedrange": True}
    # Without the overflow a phone loses the last workload.
    overflow = {"ticklabeloverflow": "allow", "side": "top", "tickangle": -60}
    figure.update_xaxes(**axes, **overflow)
    return figure.update_yaxes(**axes, ticksuffix=" ", autorange="reversed")


def _figure(height: int, margin: dict[str, int] | None = None) -> go.Figure:
    """An empty figure, transparent, without a legend: the page has one for all."""
    axis = {"zeroline": False, "automargin": True, "title_standoff": 8}
    return go.Figure(
        layout={
            "template": go.layout.Template(),
            "height": height,
            "margin": margin or {"l": 8, "r": 12, "t": 12, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": axis,
            "yaxis": axis,
        }
    )


def _add_times(
    figure: go.Figure, cell: Cell, target: Target, axis: str, y: float, right: float
) -> None:
    """The traces of one submission: label, interval, studies, and median or miss."""
    entry, result = cell.entry, cell.result
    told = words.to_target(cell, target, axis)
    _add(  # above the row: a phone has no room for names beside a chart
        figure,
        entry,
        [0],
        [y + 0.42],
        text=[f"{_plain(entry.submission)} <b>{told}</b>"],
        mode="text",
        textposition="middle right",
        textfont={"size": 12},
    )
    interval = on_axis(axis, cell.intervals)
    if interval is not None and math.isfinite(interval.low):
        arrow = 0 if interval.high <= right else 15  # where it goes on
        marker = {"symbol": "triangle-right", "size": [0, arrow], "line": {"width": 0}}
        _add(
            figure,
            entry,
            [interval.low, min(interval.high, right)],
            [y, y],
            mode="lines+markers",
            line={"color": entry.style.color, "width": 7},
            marker={**marker, "color": entry.style.color},
            opacity=0.35,
        )
    stroke, study = ("line-ns-open", 11, 1.5), f"a study: {_X.format(axis)}"
    _mark(figure, entry, cell.hits(axis), y, study, stroke)
    hover = (
        f"{told}<br>interval {words.interval(interval)}<br>{result.n_hit} of "
        f"{result.n_studies} studies reached the target"
    )
    look = ("x-thin-open", 12, 2.5) if cell.missed else (entry.style.symbol.name, 12, 0)
    _mark(figure, entry, [min(cell.end(axis), right)], y, hover, look)


def _add(
    figure: go.Figure, entry: Entry, x: Any, y: Any, hover="", name="", **look: Any
) -> None:
    """A trace of one submission; `hover` may have plotly's own templates."""
    look["hoverinfo"] = None if hover else "skip"
    if hover:
        title = f"<b>{_plain(name or entry.submission)}</b>"
        look["hovertemplate"] = f"{title}<br>{hover}<extra></extra>"
    figure.add_scatter(x=x, y=y, legendgroup=entry.submission, **look)


def _mark(
    figure: go.Figure,
    entry: Entry,
    x: list[float],
    y: float,
    hover: str,
    look=(),
    name="",
) -> None:
    """Symbols in a row; `look` is the symbol, its size and the width of its line."""
    symbol, size, width = look or (entry.style.symbol.name, 11, None)
    marker = {"symbol": symbol, "size": size, "color": entry.style.color}
    marker["line"] = {"width": width}
    _add(figure, entry, x, [y] * len(x), hover, name, mode="markers", marker=marker)


def _line(style: Style) -> dict[str, Any]:
    return {"color": style.color, "dash": style.dash}


def _floats(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Single precision, which plotly writes in 5 characters a value."""
    return np.asarray(values, np.float32)


def _plain(text: str) -> str:
    """`text` as it is: plotly reads tags, entities, `%{...}` and `$TeX$` in texts.

    >>> _plain("<b>%{x} $1")
    '&lt;b&gt;%&#123;x} &#36;1'
    """
    escaped = html.escape(text, quote=False)
    return escaped.replace("{", "&#123;").replace("$", "&#36;")
