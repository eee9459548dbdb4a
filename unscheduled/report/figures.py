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
from unscheduled.report.model import Cell, Curve, Report, Style, Workload
from unscheduled.scoring import profiles
from unscheduled.scoring.uncertainty import Interval

# Ratios from 1 (the fastest) to 4 (where a time begins to count as a miss).
_SCALE = "Cividis"
_ROW_PX = 44  # of a submission in a chart of times
_MARKED = 40  # evaluations up to which each is marked


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
    figure.update_xaxes(
        title_text="time over the fastest (tau)", range=[0.98, 4], ticksuffix="x"
    )
    figure.update_yaxes(
        title_text="share of base workloads", range=[-0.02, 1.04], tickformat=".0%"
    )
    return figure


def times_chart(report: Report, workload: Workload, axis: str) -> go.Figure:
    """Median to target with its interval and all studies, a row a submission."""
    height = 46 + _ROW_PX * len(workload.cells)
    figure = _figure(height=height, margin={"l": 8, "r": 12, "t": 4, "b": 40})
    right = 1.04 * max(_reaches(workload.cells, axis), default=1.0)
    for row, cell in enumerate(workload.cells):
        style = report.styles[cell.result.submission]
        for trace in _times_row(cell, workload, axis, style, -row, right):
            figure.add_scatter(**trace, legendgroup=cell.result.submission)
    figure.update_xaxes(title_text=words.AXES[axis], range=[0, right], nticks=6)
    figure.update_yaxes(
        range=[0.35 - len(workload.cells), 0.75], visible=False, fixedrange=True
    )
    return figure


def curves_chart(report: Report, workload: Workload, axis: str) -> go.Figure:
    """The target's metric in every trial, the target, and where it was reached."""
    figure = _figure(height=460)
    for curve in sorted(workload.curves, key=lambda curve: curve.stands):
        figure.add_scatter(**_curve(curve, axis, report.styles[curve.submission]))
    for curve in workload.curves:
        if curve.stands and math.isfinite(curve.hit.time_sec):
            figure.add_scatter(**_hit(curve, axis, report.styles[curve.submission]))
    published = {entry.submission for entry in report.entries if entry.is_published}
    for cell in workload.cells:
        if cell.result.submission in published and not cell.missed:
            style = report.styles[cell.result.submission]
            figure.add_scatter(**_published_hit(cell, workload, axis, style))
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
    ratios = report.ratios()
    figure = _figure(
        height=170 + 34 * len(report.entries),
        margin={"l": 8, "r": 40, "t": 8, "b": 8},
    )
    submissions = [_plain(entry.submission) for entry in report.entries]
    workloads = [_plain(name) for name in report.base_run]
    figure.add_heatmap(
        z=np.where(np.isfinite(ratios), np.log2(ratios), np.nan).tolist(),
        text=[
            [
                ratio_word if math.isfinite(ratio) else ""
                for ratio_word, ratio in zip(*row, strict=True)
            ]
            for row in zip(report.ratio_words, ratios.tolist(), strict=True)
        ],
        customdata=[
            [[submission, workload] for workload in workloads]
            for submission in submissions
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
    rows, columns = np.nonzero(~np.isfinite(ratios))
    figure.add_scatter(
        x=columns.tolist(),
        y=rows.tolist(),
        text=[
            report.ratio_words[r][c].replace("held-out ", "held-out<br>")
            for r, c in zip(rows, columns, strict=True)
        ],
        mode="text",
        hoverinfo="skip",
    )
    figure.update_xaxes(
        tickvals=[*range(len(workloads))],
        ticktext=workloads,
        tickangle=-60,
        ticklabeloverflow="allow",  # or a phone loses the last one
        side="top",
        showgrid=False,
        fixedrange=True,
        range=[-0.5, len(workloads) - 0.5],
    )
    figure.update_yaxes(
        tickvals=[*range(len(submissions))],
        ticktext=[f"{name} " for name in submissions],
        range=[len(submissions) - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
    )
    return figure


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
    cell: Cell, workload: Workload, axis: str, style: Style, y: float, right: float
) -> list[dict[str, Any]]:
    """The traces of one submission: interval, studies, median or miss, and label."""
    name, result = cell.result.submission, cell.result
    label = words.to_target(cell, workload.target, axis)
    count = f"{result.n_hit} of {result.n_studies} studies reached the target"
    traces = [_label(f"{_plain(name)} <b>{label}</b>", y)]
    of = cell.interval(axis)
    if of is not None and math.isfinite(of.low):
        traces.append(_segment(of, style, y, right))
    reached = cell.hits(axis)
    traces.append(
        {
            "x": reached,
            "y": [y] * len(reached),
            "mode": "markers",
            "marker": {
                "symbol": "line-ns-open",
                "size": 11,
                "color": style.color,
                "line": {"width": 1.5},
            },
            "hovertemplate": _hover(name, f"a study: %{{x:,.6g}} {axis}"),
        }
    )
    spent = cell.median(axis)
    symbol = style.symbol
    if cell.missed:
        spent, symbol = min(cell.spent(axis), right), "x-thin-open"
    traces.append(
        {
            "x": [spent],
            "y": [y],
            "mode": "markers",
            "marker": {
                "symbol": symbol,
                "size": 12,
                "color": style.color,
                "line": {"width": 2.5 if cell.missed else 0, "color": style.color},
            },
            "cliponaxis": False,
            "hovertemplate": _hover(
                name, f"{label}<br>interval {words.interval(of)}<br>{count}"
            ),
        }
    )
    return traces


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


def _segment(of: Interval, style: Style, y: float, right: float) -> dict[str, Any]:
    """An interval; one that goes on beyond the chart ends in an arrow."""
    return {
        "x": [of.low, min(of.high, right)],
        "y": [y, y],
        "mode": "lines+markers",
        "line": {"color": style.color, "width": 7},
        "marker": {
            "symbol": "triangle-right",
            "size": [0, 0 if of.high <= right else 15],
            "color": style.color,
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
        ends += cell.hits(axis)
        if cell.missed:
            ends.append(cell.spent(axis))
    return [end for end in ends if math.isfinite(end)]


def _curve(curve: Curve, axis: str, style: Style) -> dict[str, Any]:
    return {
        "x": _floats(curve.xs(axis)),
        "y": _floats(curve.values),
        "mode": "lines+markers" if len(curve.values) <= _MARKED else "lines",
        "line": {**_line(style), "width": 1.6},
        "marker": {"size": 4, "color": style.color},
        "opacity": 0.85 if curve.stands else 0.15,
        "legendgroup": curve.submission,
        "hovertemplate": _curve_hover(curve, axis),
    }


def _hit(curve: Curve, axis: str, style: Style) -> dict[str, Any]:
    return {
        "x": [curve.hit_x(axis)],
        "y": [curve.hit_value],
        "mode": "markers",
        "marker": {"symbol": style.symbol, "size": 11, "color": style.color},
        "legendgroup": curve.submission,
        "hovertemplate": _curve_hover(curve, axis, "target reached: "),
    }


def _published_hit(
    cell: Cell, workload: Workload, axis: str, style: Style
) -> dict[str, Any]:
    """A mark on the target line: of published submissions there are no curves."""
    result = cell.result
    return {
        "x": [cell.median(axis)],
        "y": [workload.target.value],
        "mode": "markers",
        "marker": {
            "symbol": f"{style.symbol}-open",
            "size": 12,
            "color": style.color,
            "line": {"width": 2.5},
        },
        "legendgroup": result.submission,
        "hovertemplate": _hover(
            result.submission, f"published median: %{{x:,.6g}} {axis}"
        ),
    }


def _curve_hover(curve: Curve, axis: str, what: str = "") -> str:
    text = f"{what}%{{y:.5g}} at %{{x:,.6g}} {axis}"
    return _hover(f"{curve.submission}, {curve.study}, trial {curve.number}", text)


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
