"""The charts of the page, as plotly figures of a report.

Colours of text, axes and lines that belong to nobody are left to the page, which has
a light and a dark theme. Every trace has its submission as `legendgroup`, by which the
page shows and hides it.
"""

import html
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from unscheduled.report import words
from unscheduled.report.curves import Curve
from unscheduled.report.model import Cell, Report, Workload, on_axis
from unscheduled.report.styles import Style
from unscheduled.scoring import profiles
from unscheduled.scoring.times import MISS
from unscheduled.scoring.uncertainty import Interval

# Ratios from 1 (the fastest) to 4 (where a time begins to count as a miss).
_SCALE = "Cividis"
_ROW_PX = 44  # of a submission in a chart of times
_MARKED = 40  # evaluations up to which each is marked
_AT = "%{{y:.5g}} at %{{x:,.6g}} {}"  # of a curve; plotly fills in x and y


def to_json(report: Report) -> str:
    """All charts, by the names that the page's elements give them."""
    charts = {"profiles": profile_chart(report), "ratios": ratios_chart(report)}
    for axis in words.AXES:
        for i, workload in enumerate(report.workloads):
            charts[f"times/{axis}/{i}"] = times_chart(report, workload, axis)
            charts[f"curves/{axis}/{i}"] = curves_chart(report, workload, axis)
    texts = [f'"{name}": {chart.to_json()}' for name, chart in charts.items()]
    return f"{{{', '.join(texts)}}}"


def profile_chart(report: Report) -> go.Figure:
    """Share of base workloads within tau of the fastest, a step line a submission."""
    figure = _figure(height=400)
    for entry in report.entries:
        figure.add_scatter(
            x=_floats(profiles.TAU),
            y=_floats(np.array(entry.row.profile)),
            line={**_line(entry.style), "width": 2.5, "shape": "hv"},
            mode="lines",
            legendgroup=entry.submission,
            hovertemplate=_hover(
                entry.submission, "%{y:.0%} of workloads within %{x:.2f}x"
            ),
        )
    figure.update_xaxes(title_text=words.TAU, range=[0.98, 4], ticksuffix="x")
    figure.update_yaxes(title_text=words.SHARE, range=[-0.02, 1.04], tickformat=".0%")
    return figure


def times_chart(report: Report, workload: Workload, axis: str) -> go.Figure:
    """Median to target with its interval and all studies, a row a submission."""
    cells = workload.cells
    height = 46 + _ROW_PX * len(cells)
    figure = _figure(height, margin={"l": 8, "r": 12, "t": 4, "b": 40})
    right = 1.04 * max(_reaches(cells, axis), default=1.0)
    for row, cell in enumerate(cells):
        for trace in _times_row(cell, workload, axis, -row, right):
            figure.add_scatter(**trace, legendgroup=cell.entry.submission)
    figure.update_xaxes(title_text=words.AXES[axis], range=[0, right], nticks=6)
    figure.update_yaxes(range=[0.35 - len(cells), 0.75], visible=False, fixedrange=True)
    return figure


def curves_chart(report: Report, workload: Workload, axis: str) -> go.Figure:
    """The target's metric in every trial, the target, and where it was reached."""
    figure = _figure(height=460)
    for curve in sorted(workload.curves, key=lambda curve: curve.stands):
        figure.add_scatter(**_curve(curve, axis))
    for curve in workload.curves:
        if curve.stands and curve.hit != MISS:
            figure.add_scatter(**_hit(curve, axis))
    for cell in workload.cells:
        if cell.entry.is_published and not cell.missed:
            figure.add_scatter(**_published_hit(cell, workload, axis))
    value, side = workload.target.value, workload.quiet_side(axis)
    figure.add_hline(y=value, line={"dash": "dash", "width": 1.5})
    figure.add_annotation(
        text=f"<b>target {value:g}</b>",
        x={"left": 0.008, "right": 0.992}[side],
        xref="paper",
        xanchor=side,
        y=value,
        yanchor="bottom",
        showarrow=False,
    )
    figure.update_xaxes(title_text=words.AXES[axis], rangemode="tozero")
    figure.update_yaxes(
        title_text=f"validation {workload.target.metric}", range=list(workload.window)
    )
    return figure


def ratios_chart(report: Report) -> go.Figure:
    """Time over the fastest, a row a submission and a column a base workload."""
    submissions = [_plain(entry.submission) for entry in report.entries]
    workloads = [_plain(name) for name in report.base_run]
    ratios = np.array([entry.ratios for entry in report.entries])
    texts = np.array([entry.ratio_words for entry in report.entries])
    missed = ~np.isfinite(ratios)
    height = 170 + 34 * len(submissions)
    figure = _figure(height, margin={"l": 8, "r": 40, "t": 8, "b": 8})
    figure.add_heatmap(
        z=np.where(missed, np.nan, np.log2(ratios)).tolist(),
        text=np.where(missed, "", texts).tolist(),
        customdata=[
            [[name, workload] for workload in workloads] for name in submissions
        ],
        texttemplate="%{text}",
        textfont={"size": 12},
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}: %{text}<extra></extra>",
        colorscale=_SCALE,
        zmin=0,
        zmax=2,
        showscale=False,
        xgap=2,
        ygap=2,
    )
    rows, columns = np.nonzero(missed)
    figure.add_scatter(
        x=columns.tolist(),
        y=rows.tolist(),
        text=[text.replace("held-out ", "held-out<br>") for text in texts[missed]],
        mode="text",
        hoverinfo="skip",
    )
    figure.update_xaxes(
        tickvals=[*range(len(workloads))],
        ticktext=workloads,
        tickangle=-60,
        ticklabeloverflow="allow",  # or a phone loses the last one
        side="top",
        range=[-0.5, len(workloads) - 0.5],
    )
    figure.update_yaxes(
        tickvals=[*range(len(submissions))],
        ticktext=[f"{name} " for name in submissions],
        range=[len(submissions) - 0.5, -0.5],
    )
    return figure.update_layout(
        {f"{axis}axis": {"showgrid": False, "fixedrange": True} for axis in "xy"}
    )


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


def _times_row(
    cell: Cell, workload: Workload, axis: str, y: float, right: float
) -> list[dict[str, Any]]:
    """The traces of one submission: label, interval, studies, and median or miss."""
    name, style, result = cell.entry.submission, cell.entry.style, cell.result
    label = words.to_target(cell, workload.target, axis)
    count = f"{result.n_hit} of {result.n_studies} studies reached the target"
    interval, hits = on_axis(axis, cell.intervals), cell.hits(axis)
    about = f"{label}<br>interval {words.interval(interval)}<br>{count}"
    strokes = _marks(hits, [y] * len(hits), "line-ns-open", 11, style.color, 1.5)
    strokes["hovertemplate"] = _hover(name, f"a study: %{{x:,.6g}} {axis}")
    if cell.missed:
        end = min(cell.spent(axis), right)
        mark = _marks([end], [y], "x-thin-open", 12, style.color, 2.5)
    else:
        end = on_axis(axis, result)
        mark = _marks([end], [y], style.symbol.name, 12, style.color, 0)
    mark |= {"cliponaxis": False, "hovertemplate": _hover(name, about)}
    traces = [_label(f"{_plain(name)} <b>{label}</b>", y)]
    if interval is not None and math.isfinite(interval.low):
        traces.append(_segment(interval, style.color, y, right))
    return [*traces, strokes, mark]


def _marks(
    x: list[float],
    y: list[float],
    symbol: str,
    size: int,
    color: str,
    line_width: float | None = None,
) -> dict[str, Any]:
    marker: dict[str, Any] = {"symbol": symbol, "size": size, "color": color}
    if line_width is not None:
        marker["line"] = {"width": line_width}
    return {"x": x, "y": y, "mode": "markers", "marker": marker}


def _label(text: str, y: float) -> dict[str, Any]:
    """Above the row, at the left: a phone has no room for names beside a chart."""
    return {
        "x": [0],
        "y": [y + 0.42],
        "text": [text],
        "mode": "text",
        "textposition": "middle right",
        "textfont": {"size": 12},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _segment(interval: Interval, color: str, y: float, right: float) -> dict[str, Any]:
    """An interval; one that goes on beyond the chart ends in an arrow."""
    return {
        "x": [interval.low, min(interval.high, right)],
        "y": [y, y],
        "mode": "lines+markers",
        "line": {"color": color, "width": 7},
        "marker": {
            "symbol": "triangle-right",
            "size": [0, 0 if interval.high <= right else 15],
            "color": color,
            "line": {"width": 0},
        },
        "cliponaxis": False,
        "opacity": 0.35,
        "hoverinfo": "skip",
    }


def _reaches(cells: Iterable[Cell], axis: str) -> list[float]:
    """How far to the right each row of a chart of times goes; finite ones only."""
    ends = []
    for cell in cells:
        ends += [*cell.hits(axis), *([cell.spent(axis)] if cell.missed else [])]
    return [end for end in ends if math.isfinite(end)]


def _curve(curve: Curve, axis: str) -> dict[str, Any]:
    return {
        "x": _floats(on_axis(axis, curve)),
        "y": _floats(curve.values),
        "mode": "lines+markers" if len(curve.values) <= _MARKED else "lines",
        "line": {**_line(curve.style), "width": 1.6},
        "marker": {"size": 4, "color": curve.style.color},
        "opacity": 0.85 if curve.stands else 0.15,
        "legendgroup": curve.submission,
        "hovertemplate": _hover(curve.name, _AT.format(axis)),
    }


def _hit(curve: Curve, axis: str) -> dict[str, Any]:
    x, style = on_axis(axis, curve.hit), curve.style
    return {
        **_marks([x], [curve.hit_value], style.symbol.name, 11, style.color),
        "legendgroup": curve.submission,
        "hovertemplate": _hover(curve.name, f"target reached: {_AT.format(axis)}"),
    }


def _published_hit(cell: Cell, workload: Workload, axis: str) -> dict[str, Any]:
    """A mark on the target line: of published submissions there are no curves."""
    x, value = on_axis(axis, cell.result), workload.target.value
    name, style = cell.entry.submission, cell.entry.style
    return {
        **_marks([x], [value], f"{style.symbol.name}-open", 12, style.color, 2.5),
        "legendgroup": name,
        "hovertemplate": _hover(name, f"published median: %{{x:,.6g}} {axis}"),
    }


def _hover(name: str, text: str) -> str:
    """A hover text; `text` may have plotly's own templates."""
    return f"<b>{_plain(name)}</b><br>{text}<extra></extra>"


def _line(style: Style) -> dict[str, Any]:
    return {"color": style.color, "dash": style.dash}


def _floats(values: np.ndarray) -> np.ndarray:
    """Single precision, which plotly writes in 5 characters a value."""
    return np.asarray(values, np.float32)


def _plain(text: str) -> str:
    """`text` as it is: plotly reads tags, entities, `%{...}` and `$TeX$` in texts.

    >>> _plain("<b>%{x} $1")
    '&lt;b&gt;%&#123;x} &#36;1'
    """
    escaped = html.escape(text, quote=False)
    return escaped.replace("{", "&#123;").replace("$", "&#36;")
