"""What a terminal shows of a scored group: tables, and sentences about them."""

import math
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console

from unscheduled.benchmark.tables import Table, number
from unscheduled.scoring import verdicts
from unscheduled.scoring.comparison import PARTS_NOTE, Intervals, Ratio
from unscheduled.scoring.logs import Trial
from unscheduled.scoring.scored import Part, Scored
from unscheduled.scoring.times import BudgetUse
from unscheduled.scoring.uncertainty import Interval
from unscheduled.scoring.verdicts import Verdicts
from unscheduled.scoring.what_if import WhatIf

_SHOWN = 5  # warnings of a kind
_PIPE_WIDTH = 10_000  # characters: never cuts a name, and tables don't stretch to it


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the program decides


def console_for(file: TextIO) -> Console:
    """A console that writes plain text to `file`, as wide as it needs in a pipe."""
    width = None if file.isatty() else _PIPE_WIDTH
    return _Console(file=file, width=width, markup=False, highlight=False, emoji=False)


def print_scores(
    file: TextIO,
    scored: Scored,
    intervals: Intervals | None = None,
    pages: Sequence[str] = (),
    if_so: WhatIf | None = None,
) -> None:
    console, found = console_for(file), verdicts.verdicts(scored)
    for workload in scored.leaderboard.workloads_run:
        console.print(workload_table(workload, scored, found))
    for line in what_was_read(scored):
        console.print(line, soft_wrap=True)
    parts = interval_tables(scored, intervals) if intervals else []
    for name in pages:
        parts += (
            verdicts.why_table(scored, name, found),
            verdicts.why_summary(scored, name, found),
        )
    if pages:
        parts += verdicts.WHY_NOTE, verdicts.framework_table(scored)
        parts.append(verdicts.FRAMEWORK_NOTE)
    parts += summary(scored)
    parts += what_if_tables(if_so) if if_so else []
    console.print(*parts, sep="\n")


def summary(scored: Scored) -> list[Table | str]:
    parts: list[Table | str] = [unscored_table(scored)] if scored.unscored else []
    if scored.leaderboard.rows:
        title = f"AlgoPerf scores, benchmark {scored.benchmark.version}"
        parts.append(score_table(title, scored, scored))
        parts += coverage(scored)
    if part := scored.part:
        title = f"On the workloads with logs alone: {', '.join(part.benchmark.base)}"
        parts.append(score_table(title, part, scored))
    return [*parts, *comparison(scored), *scored.notes]


def what_was_read(scored: Scored) -> list[str]:
    """Counts of what was read, and the first few warnings of each kind."""
    if scored.summary is None:
        return []
    lines = scored.summary.lines()
    for rule, count in scored.summary.irregular.items():
        found = [str(one) for one in scored.warnings if one.rule == rule]
        lines += found[:_SHOWN]
        if count > _SHOWN:
            more = count - _SHOWN
            lines.append(f"... and {more} more of {rule}: --format=json has them all.")
    return lines


def workload_table(workload: str, scored: Scored, found: Verdicts) -> Table:
    """A row a submission, fastest first; who did not run the workload comes last."""
    ran, use, rows = scored.results_on(workload), scored.budget_use(), []
    missed = {name for name, result in ran.items() if math.isinf(result.time_sec)}
    headings = ["submission", "median seconds to target", "median steps to target"]
    headings += ["studies hit", *(["closest miss", "why"] if missed else [])]
    for name, result in ran.items():
        hits = f"{result.n_hit}/{result.n_studies}"
        row = [name, number(result.time_sec), number(result.steps, ".10g"), hits]
        if missed:
            reason = found[name, workload].words if name in missed else ""
            row += [_closest(use[name, workload]), reason]
        rows.append(row)
    rows += [[name, "-", "-", "-"] for name in scored.submissions if name not in ran]
    title = f"{workload}: {scored.benchmark.targets[workload]}"
    return Table(title, headings, rows, "lrrrl")


def unscored_run(trial: Trial) -> dict[str, Any]:
    """Of a trial that there is no target for: what its last evaluation says."""
    n = len(trial.score)
    names = ("submission", "workload", "framework", "study")
    return {
        **{name: getattr(trial, name) for name in names},
        "trial": trial.number,
        "time_sec": float(trial.score[-1]) if n else None,
        "steps": float(trial.global_step[-1]) if n else None,
        "n_evaluations": n,
    }


def unscored_table(scored: Scored) -> Table:
    rows = [
        (
            *(run["submission"], run["study"], f"{run['workload']}_{run['framework']}"),
            *(f"trial_{run['trial']}", number(run["time_sec"])),
            *(number(run["steps"], ".10g"), str(run["n_evaluations"])),
        )
        for run in map(unscored_run, scored.unscored)
    ]
    title = "Without a target: times and steps at the last evaluation"
    names = ("submission", "study", "workload", "trial")
    return Table(title, (*names, "seconds", "steps", "evaluations"), rows, "llllr")


def score_table(
    title: str, group: Scored | Part, scored: Scored, with_runs: bool = False
) -> Table:
    """A row a submission, best score first; `with_runs`: where its runs are from."""
    with_runs = with_runs or scored.published is not None
    runs = ["runs"] if with_runs else []
    headings, rows = ["submission", *runs, "AlgoPerf score", "base targets hit"], []
    if any(row.time_ratio is not None for row in group.leaderboard.rows):
        headings += [f"time / {scored.baseline}", "where both hit"]
    for row in group.leaderboard.rows:
        sources = [scored.source(row.submission)] if with_runs else []
        n_hit, ratio = f"{row.n_hit}/{len(group.benchmark.base)}", row.time_ratio
        cells = [row.submission, *sources, f"{row.score:.4f}", n_hit]
        if ratio is not None:
            both = number(row.both_ratio, ".4f", "n/a")
            cells += [number(ratio, ".4f", "n/a"), f"{both} ({row.n_both})"]
        rows.append(cells)
    return Table(title, headings, rows)


def interval_tables(scored: Scored, found: Intervals) -> list[Table | str]:
    ruleset, rows = scored.ruleset, []
    for row in scored.leaderboard.rows:
        score = found.scores[row.submission]
        cells = (_ends(score.interval, 4), f"{100 * score.p_best:.1f}%")
        rows.append((row.submission, f"{row.score:.4f}", *cells))
    interval = f"{100 * found.level:g}% interval"
    headings = ("submission", "AlgoPerf score", interval, "best of the group")
    parts: list[Table | str] = [
        Table("Scores, if other studies had been run", headings, rows),
        f"Everyone's studies were drawn anew {found.n_resamples} times, with "
        "replacement, and the whole group was scored each time. The level is nominal: "
        "with three studies such intervals cover less. One study of a workload has no "
        "interval.",
    ]
    if found.comparisons:
        parts += [
            _comparisons(scored, found),
            "Faster with: the share of resamples in which the geometric mean of the "
            f"time over that of {scored.baseline} is below 1. Time is steps times "
            f"seconds a step. {PARTS_NOTE}",
        ]
    return [
        *parts,
        _medians(scored, found),
        "Covers: how often an interval so made covers the median of what the studies "
        "are drawn from, at the least; misses take part. It is from the fastest to the "
        "slowest study, or shorter where that is enough. The budget is that of "
        f"{ruleset}, {ruleset.budget_factor:g} x max_allowed_runtime_sec.",
    ]


def _comparisons(scored: Scored, found: Intervals) -> Table:
    rows, title = [], f"Compared with {scored.baseline}: ratios, below 1 needs less"
    for submission, pair in found.comparisons.items():
        both = pair.both_hit
        parts = (both.time, both.steps, both.step_sec) if both else ()
        p = "n/a" if pair.p_faster is None else f"{100 * pair.p_faster:.1f}%"
        rows.append((submission, p, *map(_ratio, (pair.time_ratio, *parts))))
    headings = ("faster with", "time", "time, both hit", "steps", "seconds a step")
    return Table(title, ("submission", *headings), rows)


def _medians(scored: Scored, found: Intervals) -> Table:
    rows = []
    for workload in scored.leaderboard.workloads_run:
        for name, result in scored.results_on(workload).items():
            interval = found.medians[name, workload].time_sec
            use, span = found.budgets[name, workload], "-"
            if interval:
                end = number(interval.high, inf="a miss")
                span = f"{number(interval.low)} to {end}"
                span = "missed" if math.isinf(interval.low) else span
            row = {
                "workload": workload,
                "submission": name,
                "seconds to target": number(result.time_sec),
                "interval": span,
                "covers": f"{100 * interval.level:.0f}%" if interval else "-",
                "of the budget": number(100 * use.to_target, ".1f", "unknown", "%"),
                "longest run": number(100 * use.run, ".1f", "unknown", "%"),
                "studies hit": f"{use.n_hit}/{use.n_studies}",
                "closest miss": _closest(use),
            }
            rows.append(row)
    values = [[*row.values()] for row in rows]
    return Table("Medians and budgets", [*rows[0]], values, "llr")


def what_if_tables(if_so: WhatIf) -> list[Table | str]:
    alone, together = [], []
    for change in if_so.changes:
        before = if_so.before[change.assumption.submission]
        text = change.assumption.text
        score = [f"{change.score:.4f}", f"{change.score - before:+.4f}"]
        times = change.times_sec or {"no other time": (math.nan, math.nan)}
        for workload, pair in times.items():
            alone.append([text, workload, *map(number, pair), *score])
            text, score = "", []
    for submission, score in if_so.after.items():
        found, before = if_so.intervals[submission], if_so.before[submission]
        cells = (_ends(found.interval, 4), f"{100 * found.p_best:.1f}%")
        together.append((submission, f"{score:.4f}", f"{before:.4f}", *cells))
    changes = ("assumption", "workload", "seconds", "assumed", "AlgoPerf score")
    scores = ("submission", "AlgoPerf score", "as it is", "95% interval")
    last = "best of the group"
    return [
        Table("What if: each assumption alone", (*changes, "worth"), alone),
        Table("What if: the scores with all of them", (*scores, last), together),
        "The interval is what drawing the studies anew gives, as --intervals says; a "
        "time that was given is the same in every study.",
    ]


def coverage(scored: Scored) -> list[str]:
    board, benchmark = scored.leaderboard, scored.benchmark
    n_base, n_held_out = len(benchmark.base), len(benchmark.held_out)
    n_base_run, n_held_out_run = len(board.base_run), len(board.held_out_run)
    lines = [f"{n_base_run} of {n_base} base workloads have logs."]
    if n_base_run < n_base:
        lines.append("The others count as missed by every submission.")
    if n_held_out_run < n_held_out:
        run = f"{n_held_out_run} of {n_held_out} held-out workloads have logs"
        lines.append(f"{run}; the others disqualify nobody.")
    return lines


def comparison(scored: Scored) -> list[str]:
    if scored.baseline is None:
        return []
    ruleset, benchmark = scored.ruleset, scored.benchmark
    lines = [
        f"time / {scored.baseline}: geometric mean over the base workloads, below 1 is "
        "faster; where both hit: the same over those that both reached, (how many)."
    ]
    missed = {r.workload for r in scored.results if math.isinf(r.time_sec)}
    counts = []
    for workload in (w for w in benchmark.base if w in missed):
        sec = ruleset.miss_sec(benchmark.targets[workload].max_allowed_runtime_sec)
        counts.append(f"{workload} {number(sec, '.0f', 'unknown', ' s')}")
    if counts:
        lines.append(
            f"In time / {scored.baseline} a miss counts as the budget of {ruleset} "
            f"({ruleset.budget_factor:g} x max_allowed_runtime_sec) plus 1 s, and as "
            f"equal where both missed: {', '.join(counts)}."
        )
    ratios = [row.time_ratio for row in scored.leaderboard.rows]
    if any(ratio is not None and math.isnan(ratio) for ratio in ratios):
        lines.append(
            "n/a: a workload that only one of the two ran, a miss of unknown budget, "
            "or no workload at all."
        )
    return lines


def _closest(use: BudgetUse) -> str:
    return use.misses.words if use.misses else ""


def _ends(interval: Interval | None, digits: int) -> str:
    return (
        f"{interval.low:.{digits}f} to {interval.high:.{digits}f}" if interval else "-"
    )


def _ratio(ratio: Ratio) -> str:
    known = f"{ratio.value:.3f} ({_ends(ratio.interval, 3)})"
    return "n/a" if math.isnan(ratio.value) else known
