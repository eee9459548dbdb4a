"""The page: one HTML file with everything in it, plotly.js included.

Names in logs are anybody's: all text passes `escape`, and the content security policy
lets run the two scripts whose hashes it names, and load nothing.
"""

import base64
import hashlib
import html
import math
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from unscheduled.benchmark.text import printable
from unscheduled.report import figures, words
from unscheduled.report.model import Entry, Report, Run, Workload
from unscheduled.scoring import profiles, why
from unscheduled.scoring.comparison import PARTS_NOTE, Ratio
from unscheduled.scoring.irregularities import RULES_OF_READING, Irregularity
from unscheduled.scoring.leaderboard import Leaderboard
from unscheduled.scoring.tables import comparison, coverage
from unscheduled.scoring.verdicts import verdicts

_HERE = Path(__file__).parent
_GLYPHS = {
    "circle": "●",
    "square": "■",
    "diamond": "◆",
    "triangle-up": "▲",
    "triangle-down": "▼",
    "pentagon": "⬟",
    "star": "★",
    "hexagon": "⬢",
}
_OPEN_RUNS = 60  # up to which the tables of runs are open at first
_OPEN_PAGES = 3  # of one's own submissions, up to which their pages are open at first
_ALL_FILES_RUNS = 1000  # up to which all files of a run are linked
_SECTIONS = {
    "leaderboard": "Leaderboard",
    "profiles": "Performance profiles",
    "times": "Time to target",
    "curves": "Training curves",
    "ratios": "Ratios to the fastest",
    "why": "Why, submission by submission",
    "frameworks": "What a step takes, by framework",
    "runs": "Runs and their files",
    "reading": "What was read",
}


def render(report: Report, read: Sequence[str], out: Path) -> str:
    """The whole file.

    Args:
      read: sentences that count what was read, see `Reading.summary`.
      out: where the file will lie; links to logs are relative to its folder.
    """
    plotly_js, page_js = get_plotlyjs(), (_HERE / "page.js").read_text("utf-8")
    sections = {
        "leaderboard": _leaderboard(report),
        "profiles": _profiles(report),
        "times": _times(report),
        "curves": _curves(report),
        "ratios": _ratios(report),
        "why": _why(report),
        "frameworks": _frameworks(report),
        "runs": _runs(report, out),
        "reading": _reading(report, read),
    }
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">'
        f"{_SECTIONS[key]}</h2>{text}</section>\n"
        for key, text in sections.items()
    )
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name in _SECTIONS.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(plotly_js, page_js)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(_title(report))}</title>
<style>{(_HERE / "page.css").read_text("utf-8")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the leaderboard</a>
<header>
<h1>{escape(_title(report))}</h1>
<button type="button" id="theme" aria-label="Colours: as the system"
>&#9680; Auto</button>
<p class="lead">{_lead(report)}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<noscript><p>The charts need JavaScript; the tables below do not.</p></noscript>
{_toolbar(report)}
<main id="main" tabindex="-1">
{body}</main>
<footer><p>One file, without requests to any network. Charts: plotly.js
{escape(get_plotlyjs_version())}, MIT licence, inside.</p></footer>
<script type="application/json" id="figures">{_figures(report)}</script>
<script>{plotly_js}</script>
<script>{page_js}</script>
</body>
</html>
"""


def escape(text: object) -> str:
    """As text or as an attribute's value; what does not print is made visible."""
    return html.escape(printable(text))


def in_script(json_text: str) -> str:
    r"""JSON that neither ends the script element that it is in nor opens another.

    >>> in_script('"</script>"')
    '"\\u003c/script>"'
    """
    return json_text.replace("<", "\\u003c")


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    names: Collection[int] = (0,),
) -> str:
    """A table that scrolls by itself where it is wider than the page.

    Args:
      caption, header: text.
      rows: cells as HTML.
      names: columns of text; the others are of figures, to the right.
    """

    def cell(tag: str, text: str, column: int) -> str:
        kind = "" if column in names else ' class="n"'
        return f"<{tag}{kind}>{text}</{tag.split()[0]}>"

    head = "".join(
        cell('th scope="col"', escape(text), i) for i, text in enumerate(header)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(cell("td", text, i) for i, text in enumerate(others, 1))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>\n')
    return _scrolling(
        caption,
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>\n{''.join(lines)}</tbody></table>",
    )


def link(path: Path, out: Path, text: str) -> str:
    """A link to a file of a run, relative to the report's folder."""
    relative = os.path.relpath(path, os.path.abspath(out.parent))
    address = quote(os.fsencode(relative.replace(os.sep, "/")))
    # "./" because a first folder named "a:b" would be read as a scheme.
    return f'<a href="./{address}">{escape(text)}</a>'


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _figures(report: Report) -> str:
    """All charts, by the names that the page's elements give them."""
    charts = {
        "profiles": figures.profile_chart(report),
        "ratios": figures.ratios_chart(report),
    }
    for axis in words.AXES:
        for i, workload in enumerate(report.workloads):
            charts[f"times/{axis}/{i}"] = figures.times_chart(report, workload, axis)
            charts[f"curves/{axis}/{i}"] = figures.curves_chart(report, workload, axis)
    texts = [f'"{name}": {chart.to_json()}' for name, chart in charts.items()]
    return in_script(f"{{{', '.join(texts)}}}")


def _title(report: Report) -> str:
    scored = report.scored
    return f"AlgoPerf scores, benchmark {scored.benchmark.version}, {scored.ruleset}"


def _lead(report: Report) -> str:
    first, scored = report.entries[0], report.scored
    n_base = len(scored.benchmark.base)
    n = sum(entry.place == 1 for entry in report.entries)
    who = f"{n} submissions share the lead" if n > 1 else f"{first.submission} leads"
    return escape(
        f"{who} among {len(report.entries)} with a score of {words.score(first)}. "
        f"{len(report.base_run)} of {n_base} base workloads, {len(report.runs)} runs. "
        f"Which trial stands for a study: the {scored.rule} rule."
    )


def _toolbar(report: Report) -> str:
    buttons = "".join(
        f'<button type="button" aria-pressed="true" '
        f'data-submission="{escape(entry.submission)}">{_name(entry)}</button>'
        for entry in report.entries
    )
    axes = "".join(
        f'<label><input type="radio" name="axis" value="{axis}"'
        f"{' checked' if axis == 'seconds' else ''}><span>{name}</span></label>"
        for axis, name in (("seconds", "time"), ("steps", "steps"))
    )
    return f"""<div class="toolbar">
<div class="legend" role="group" aria-label="Show or hide submissions in the charts">
{buttons}<button type="button" id="all">all</button><button type="button" id="none"
>none</button></div>
<fieldset class="pills"><legend>Measured in</legend>{axes}</fieldset>
</div>"""


def _name(entry: Entry) -> str:
    """A submission as it is named everywhere: with its mark, in its colour."""
    glyph = _GLYPHS[entry.style.symbol]
    marks = ["baseline"] * entry.is_baseline + ["published"] * entry.is_published
    tags = "".join(f" <small>{mark}</small>" for mark in marks)
    name = _breakable(entry.submission)
    return (
        f'<span class="mark" style="color:{entry.style.color}" aria-hidden="true">'
        f'{glyph}</span><span class="name">{name}</span>{tags}'
    )


def _breakable(name: str) -> str:
    """A name with places to break a line, which only a narrow page uses."""
    return escape(name).replace("_", "_<wbr>")


def _leaderboard(report: Report) -> str:
    scored = report.scored
    header = ["submission", "score", "95% interval", "first in", "targets hit"]
    compared = scored.baseline is not None
    if compared:
        header += [f"time / {scored.baseline}", "where both hit", "faster with"]
        header += ["steps", "seconds a step"]
    rows = []
    for entry in report.entries:
        row, interval = entry.row, entry.interval.interval
        bar = f'<span class="bar" style="--share:{100 * row.score:.2f}%"></span>'
        cells = [
            f'<span class="place">{entry.place}</span>{_name(entry)}',
            f"{bar}{words.score(entry)}",
            words.score_interval(entry),
            f"{entry.interval.p_best:.0%}" if interval else "n/a",
            f"{row.n_hit}/{len(scored.benchmark.base)}",
        ]
        rows.append(cells + _compared(entry) * compared)
    parts = [table("Submissions, best AlgoPerf score first", header, rows)]
    notes = coverage(scored.leaderboard, scored.benchmark)
    if any(entry.interval.interval for entry in report.entries):
        notes.append(
            "95% interval and first in: how far other studies could have moved the "
            "score, by resampling everyone's studies; nominal with so few of them."
        )
    if compared:
        notes += comparison(scored)
        notes.append(
            f"Steps and seconds a step: over those of {scored.baseline}, where both "
            f"hit. Time is their product. {PARTS_NOTE} Faster with: the share of "
            "resampled studies in which the time ratio is below 1."
        )
    if scored.part is not None:
        names = ", ".join(scored.part.benchmark.base)
        title = f"On the workloads with logs alone: {names}"
        parts.append(_part(title, scored.part.leaderboard, report))
    return "".join(parts) + _paragraphs(notes)


def _compared(entry: Entry) -> list[str]:
    """Cells about a submission and the baseline, as headed in `_leaderboard`."""
    row, with_it = entry.row, entry.comparison
    ratios = [_ratio(row.time_ratio), f"{_ratio(row.both_ratio)} ({row.n_both})"]
    if with_it is None:
        return [*ratios, *[""] * 3]
    p = "n/a" if with_it.p_faster is None else f"{with_it.p_faster:.0%}"
    if with_it.both_hit is None:
        return [*ratios, p, "n/a", "n/a"]
    parts = (with_it.both_hit.steps, with_it.both_hit.step_sec)
    ratios[1] += _within(with_it.both_hit.time)
    return [*ratios, p, *(_ratio(part.value) + _within(part) for part in parts)]


def _ratio(value: float | None) -> str:
    return "n/a" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _within(ratio: Ratio) -> str:
    if ratio.interval is None:
        return ""
    return f"<br><small>{ratio.interval.low:.3f} to {ratio.interval.high:.3f}</small>"


def _part(title: str, leaderboard: Leaderboard, report: Report) -> str:
    entries = {entry.submission: entry for entry in report.entries}
    rows = [
        [_name(entries[row.submission]), f"{row.score:.4f}", str(row.n_hit)]
        for row in leaderboard.rows
    ]
    return table(title, ["submission", "score", "targets hit"], rows)


def _profiles(report: Report) -> str:
    taus = [1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0]
    columns = [int(np.searchsorted(profiles.TAU, tau, "right")) - 1 for tau in taus]
    rows = [
        [_name(entry), *(f"{entry.row.profile[i]:.0%}" for i in columns)]
        for entry in report.entries
    ]
    caption = "Share of base workloads within tau times the fastest"
    return (
        "<p>The share of base workloads on which a submission takes at most tau times "
        "as long as the fastest. The score is the area below the line.</p>"
        + _chart("profiles", "Performance profiles, a line a submission")
        + _folded(table(caption, ["submission", *(f"{tau:g}x" for tau in taus)], rows))
    )


def _times(report: Report) -> str:
    cards, rows = [], []
    for i, workload in enumerate(report.workloads):
        kind = "" if workload.is_base else " <small>held-out</small>"
        name = escape(workload.name)
        cards.append(
            f'<article class="card"><h3>{name}{kind} '
            f'<a href="#curves" data-workload="{i}" aria-label="Curves of {name}">'
            f"curves</a></h3><p>{escape(workload.target)}</p>"
            + _chart(f"times/{{axis}}/{i}", f"Time to target on {workload.name}")
            + "</article>"
        )
        rows += _times_rows(report, workload)
    header = ["workload", "submission", "seconds", "interval", "steps", "interval"]
    header += ["seconds a step", "studies hit", "budget used", "if missed"]
    caption = "Medians over studies, by workload, the fastest first"
    return (
        "<p>Symbols: medians over studies. Strokes: the studies. Bands: exact "
        "intervals for the median, where there are two studies or more. A cross is a "
        "miss, at the end of its longest run.</p>"
        f'<div class="cards">{"".join(cards)}</div>'
        + _folded(table(caption, header, rows, names=(0, 1, 9)))
    )


def _times_rows(report: Report, workload: Workload) -> list[list[str]]:
    entries = {entry.submission: entry for entry in report.entries}
    rows = []
    for cell in workload.cells:
        result, use = cell.result, cell.use
        both = ((result.time_sec, "seconds"), (result.steps, "steps"))
        seconds, steps = (
            "missed" if cell.missed else words.amount(*figure) for figure in both
        )
        shares = use.run if cell.missed else use.to_target
        rows.append(
            [
                escape(workload.name),
                _name(entries[result.submission]),
                seconds,
                words.interval(cell.intervals.time_sec),
                steps,
                words.interval(cell.intervals.steps),
                words.number(cell.step_sec),
                f"{result.n_hit}/{result.n_studies}",
                "unknown" if math.isnan(shares) else f"{shares:.0%}",
                escape(use.misses.words) if use.misses else "",
            ]
        )
    return rows


def _curves(report: Report) -> str:
    pills = "".join(
        f'<label><input type="radio" name="workload" value="{i}"'
        f"{' checked' if i == 0 else ''}><span>{escape(workload.name)}</span></label>"
        for i, workload in enumerate(report.workloads)
    )
    curves = [curve for workload in report.workloads for curve in workload.curves]
    others = ""
    if not all(curve.stands for curve in curves):
        others += " Faint: trials that do not stand for their study."
    if any(entry.is_published for entry in report.entries):
        others += " Open symbols: medians of published submissions, without curves."
    thinned = ""
    if report.max_curve_points is not None:
        thinned = (
            f"<p>Curves of more than {report.max_curve_points} evaluations show that "
            "many of them, evenly spaced; the first, the last, the best and the hit "
            "are always shown.</p>"
        )
    return f"""<fieldset class="pills"><legend>Workload</legend>{pills}</fieldset>
<label class="check"><input type="checkbox" id="whole"> whole range of the metric
<small>(else: what is left after the first fifth of training)</small></label>
{_chart("curves/{axis}/{workload}", "Training curves of the chosen workload")}
<p>A line a trial; the symbol is where it first reached the target.{others}</p>
{thinned}"""


def _ratios(report: Report) -> str:
    caption = "Time over the fastest, by base workload"
    rows = [
        [_name(entry), *map(escape, ratios)]
        for entry, ratios in zip(report.entries, report.ratio_words, strict=True)
    ]
    width = 170 + 62 * len(report.base_run)
    return (
        "<p>1.00 is the fastest of the group; darker is faster. Times over 4x the "
        "fastest count as misses, and so do workloads whose held-out variant was "
        "missed.</p>"
        + _chart("ratios", caption, width)
        + _folded(table(caption, ["submission", *report.base_run], rows))
    )


def _why(report: Report) -> str:
    """A page a submission; open are a few of one's own, else the leader's."""
    scored, found = report.scored, verdicts(report.scored)
    few = 0 < len(scored.own) <= _OPEN_PAGES
    first = scored.own if few else (report.entries[0].submission,)
    pages = []
    for entry in report.entries:
        name = entry.submission
        opened = " open" if name in first else ""
        caption = f"{name}, workload by workload"
        rows = [
            [_breakable(row[0]), *map(escape, row[1:])]
            for row in why.rows(scored, name, found)
        ]
        pages.append(
            f"<details{opened}><summary>{_name(entry)} {words.score(entry)}</summary>"
            f"<p>{escape(why.summary(scored, name, found))}</p>"
            f"{table(caption, why.COLUMNS, rows, names=(0, 1, 3))}</details>"
        )
    return "".join(pages) + _paragraphs([why.NOTE])


def _frameworks(report: Report) -> str:
    rows = [[*map(escape, row)] for row in why.framework_rows(report.scored)]
    caption = "Milliseconds a step"
    shown = table(caption, why.FRAMEWORK_COLUMNS, rows, names=(0, 1))
    return f"<p>{escape(why.FRAMEWORK_NOTE)}</p>{shown}"


def _runs(report: Report, out: Path) -> str:
    header = ["run", "submission", "outcome", "seconds", "steps", "files"]
    opened = " open" if len(report.runs) <= _OPEN_RUNS else ""
    entries = {entry.submission: entry for entry in report.entries}
    all_files = len(report.runs) <= _ALL_FILES_RUNS
    parts = []
    if not all_files:
        parts = [f"<p>Of more than {_ALL_FILES_RUNS} runs, folder and log alone.</p>"]
    for workload in report.workloads:
        runs = [run for run in report.runs if run.trial.workload == workload.name]
        hits = sum(math.isfinite(run.hit.time_sec) for run in runs)
        caption = f"{workload.name}: {hits} of {len(runs)} runs reached the target"
        rows = [
            _run(run, _files(run, all_files), entries[run.submission], workload, out)
            for run in runs
        ]
        if rows:
            parts.append(
                f"<details{opened}><summary>{escape(caption)}</summary>"
                f"{table(caption, header, rows, names=(0, 1, 2, 5))}</details>"
            )
    return "".join(parts)


def _run(
    run: Run, files: Iterable[Path], entry: Entry, workload: Workload, out: Path
) -> list[str]:
    trial = run.trial
    ran = len(trial.score) > 0
    return [
        escape(f"{trial.study}, trial {trial.number}, {trial.framework}"),
        _name(entry),
        escape(words.outcome(run, workload.target)),
        words.number(trial.score[-1]) if ran else "none",
        words.number(trial.global_step[-1]) if ran else "none",
        link(run.folder, out, "folder")
        + " ".join(link(path, out, path.name) for path in files),
    ]


def _files(run: Run, all_files: bool) -> list[Path]:
    if not all_files:
        return [run.trial.path]
    kinds = (".csv", ".csv.gz", ".json")
    return sorted(p for p in run.folder.iterdir() if p.name.endswith(kinds))


def _reading(report: Report, read: Sequence[str]) -> str:
    groups: dict[str, list[Irregularity]] = {}
    for one in report.scored.irregularities:
        groups.setdefault(one.rule, []).append(one)
    folded = [
        f"<details><summary>{len(group)} x {escape(rule)}: "
        f"{escape(RULES_OF_READING[rule])}</summary><ul>"
        + "".join(f"<li>{escape(one)}</li>" for one in group)
        + "</ul></details>"
        for rule, group in groups.items()
    ]
    nothing = [] if groups else ["Nothing was irregular, and nothing was missing."]
    notes = report.scored.notes
    return _paragraphs([*read[:1], *nothing, *notes]) + "".join(folded)


def _chart(figure: str, label: str, min_width: int = 0) -> str:
    """The place of a chart; `figure` may name the page's settings in braces."""
    chart = (
        f'<div class="chart" data-figure="{escape(figure)}" role="img" '
        f'aria-label="{escape(label)}" style="min-width:{min_width}px"></div>'
    )
    if not min_width:
        return chart
    return _scrolling(f"{label}, scrolls sideways", chart)


def _scrolling(label: str, text: str) -> str:
    """What may be wider than the page; the keyboard can scroll it."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'
        f"{text}</div>"
    )


def _folded(text: str) -> str:
    return f"<details><summary>The same as a table</summary>{text}</details>"


def _paragraphs(sentences: Iterable[str]) -> str:
    return "".join(f'<p class="note">{escape(one)}</p>' for one in sentences)
