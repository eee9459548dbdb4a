"""What a terminal shows of a scored group: tables, and sentences about them."""

import math
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console

from unscheduled.benchmark.tables import Table, number
from unscheduled.benchmark.targets import Benchmark
from unscheduled.scoring import why
from unscheduled.scoring.comparison import PARTS_NOTE, Ratio
from unscheduled.scoring.intervals import Intervals
from unscheduled.scoring.leaderboard import Leaderboard
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.uncertainty import Interval
from unscheduled.scoring.verdicts import verdicts
from unscheduled.scoring.what_if import WhatIf

_SHOWN = 5  # warnings of a kind
_PIPE_WIDTH = 10_000  # characters: never cuts a name, and tables don't stretch to it


class _Console(Console):
    """A console that leaves a closed pipe to the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_for(file: TextIO) -> Console:
    """A console that writes plain text to `file`, as wide as it needs, in a pipe."""
    return _Console(
        file=file,
        width=None if file.isatty() else _PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_scores(
    file: TextIO,
    scored: Scored,
    intervals: Intervals | None = None,
    pages: Sequence[str] = (),
    if_so: WhatIf | None = None,
) -> None:
    """Print to `file` a table a workload, what was irregular, the scores, the notes.

    Args:
      intervals: how sure the figures are; printed before the scores.
      pages: submissions to print `why` of.
      if_so: what would be; printed at the end.
    """
    console, found = console_for(file), verdicts(scored)
    for workload in scored.leaderboard.workloads_run:
        console.print(workload_table(workload, scored, found))
    for line in what_was_read(scored):
        console.print(line, soft_wrap=True)
    parts = interval_tables(scored, intervals) if intervals else []
    for submission in pages:
        rows = why.rows(scored, submission, found)
        parts.append(Table(submission, why.COLUMNS, rows, "llr"))
        parts.append(why.summary(scored, submission, found))
    if pages:
        title, rows = "Milliseconds a step, by framework", why.framework_rows(scored)
        parts += [why.NOTE, Table(title, why.FRAMEWORK_COLUMNS, rows, "llr")]
        parts.append(why.FRAMEWORK_NOTE)
    parts += summary(scored)
    parts += what_if_tables(if_so) if if_so else []
    console.print(*parts, sep="\n")


def summary(scored: Scored) -> list[Table | str]:
    """The scores, and the sentences that say what stands behind them."""
    parts: list[Table | str] = [unscored_table(scored)] if scored.unscored else []
    if scored.leaderboard.rows:
        title = f"AlgoPerf scores, benchmark {scored.benchmark.version}"
        parts.append(score_table(title, scored.leaderboard, scored.benchmark, scored))
        parts += coverage(scored.leaderboard, scored.benchmark)
    if scored.part is not None:
        base = scored.part.benchmark.base
        title = f"On the workloads with logs alone: {', '.join(base)}"
        part = scored.part
        parts.append(score_table(title, part.leaderboard, part.benchmark, scored))
    return [*parts, *comparison(scored), *scored.notes]


def what_was_read(scored: Scored) -> list[str]:
    """Counts of what was read, and the first few warnings of each kind."""
    if scored.summary is None:
        return []
    lines = []
    for rule, count in scored.summary.irregular.items():
        found = [str(one) for one in scored.warnings if one.rule == rule]
        lines += found[:_SHOWN]
        if count > _SHOWN:
            more = count - _SHOWN
            lines.append(f"... and {more} more of {rule}: --format=json has them all.")
    return [*scored.summary.lines(), *lines]


def workload_table(workload: str, scored: Scored, found: why.Found) -> Table:
    """A row a submission, fastest first; who did not run the workload comes last."""
    headings = ["submission", "median seconds to target", "median steps to target"]
    headings.append("studies hit")
    use = scored.budget_use()
    ran = [r for r in scored.results if r.workload == workload]
    missed = any(math.isinf(r.time_sec) for r in ran)
    if missed:
        headings += ["closest miss", "why"]
    rows = []
    for result in sorted(ran, key=lambda r: (r.time_sec, r.submission)):
        key, hits = (result.submission, workload), f"{result.n_hit}/{result.n_studies}"
        row = [result.submission, number(result.time_sec), number(result.steps, ".10g")]
        row.append(hits)
        if missed:
            closest = use[key].misses
            reason = found[key].words if math.isinf(result.time_sec) else ""
            row += [closest.words if closest else "", reason]
        rows.append(row)
    names = {result.submission for result in ran}
    rows += [[name, "-", "-", "-"] for name in scored.submissions if name not in names]
    title = f"{workload}: {scored.benchmark.targets[workload]}"
    return Table(title, headings, rows, "lrrrl")


def unscored_table(scored: Scored) -> Table:
    """A row a trial that there is no target for: what its last evaluation says."""
    rows = []
    for trial in scored.unscored:
        names = (f"{trial.workload}_{trial.framework}", f"trial_{trial.number}")
        end = ["-", "-"]
        if len(trial.score):
            end = [number(trial.score[-1]), number(trial.global_step[-1], ".10g")]
        n = str(len(trial.score))
        rows.append([trial.submission, trial.study, *names, *end, n])
    return Table(
        "Without a target: times and steps at the last evaluation",
        ("submission", "study", "workload", "trial", "seconds", "steps", "evaluations"),
        rows,
        "llllr",
    )


def score_table(
    title: str,
    leaderboard: Leaderboard,
    benchmark: Benchmark,
    scored: Scored,
    with_runs: bool = False,
) -> Table:
    """A row a submission, best AlgoPerf score first.

    Args:
      with_runs: whether to say where the runs come from though none are published.
    """
    with_runs = with_runs or scored.published is not None
    compared = any(row.time_ratio is not None for row in leaderboard.rows)
    headings = ["submission", *(["runs"] if with_runs else [])]
    headings += ["AlgoPerf score", "base targets hit"]
    if compared:
        headings += [f"time / {scored.baseline}", "where both hit"]
    rows = []
    for row in leaderboard.rows:
        cells = [row.submission]
        if with_runs:
            cells.append(scored.source(row.submission))
        cells += [f"{row.score:.4f}", f"{row.n_hit}/{len(benchmark.base)}"]
        if compared:
            ratios = (row.time_ratio, row.both_ratio)
            time, both = (number(ratio, ".4f", "n/a") for ratio in ratios)
            cells += [time, f"{both} ({row.n_both})"]
        rows.append(cells)
    return Table(title, headings, rows)


def interval_tables(scored: Scored, found: Intervals) -> list[Table | str]:
    """Scores, comparisons with the baseline and medians, and what they mean."""
    ruleset = scored.ruleset
    parts: list[Table | str] = [
        _score_intervals(scored, found),
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


def _score_intervals(scored: Scored, found: Intervals) -> Table:
    rows = []
    for row in scored.leaderboard.rows:
        score = found.scores[row.submission]
        cells = (_ends(score.interval, 4), f"{100 * score.p_best:.1f}%")
        rows.append((row.submission, f"{row.score:.4f}", *cells))
    interval = f"{100 * found.level:g}% interval"
    headings = ("submission", "AlgoPerf score", interval, "best of the group")
    return Table("Scores, if other studies had been run", headings, rows)


def _comparisons(scored: Scored, found: Intervals) -> Table:
    rows = []
    for submission, with_it in found.comparisons.items():
        both = with_it.both_hit
        parts = (both.time, both.steps, both.step_sec) if both else ()
        p = "n/a" if with_it.p_faster is None else f"{100 * with_it.p_faster:.1f}%"
        rows.append((submission, p, *map(_ratio, (with_it.time_ratio, *parts))))
    headings = ("faster with", "time", "time, both hit", "steps", "seconds a step")
    title = f"Compared with {scored.baseline}: ratios, below 1 needs less"
    return Table(title, ("submission", *headings), rows)


def _medians(scored: Scored, found: Intervals) -> Table:
    """A row a workload and submission, fastest first."""
    order, rows = scored.leaderboard.workloads_run, []
    for result in sorted(
        scored.results, key=lambda r: (order.index(r.workload), r.time_sec)
    ):
        key = (result.submission, result.workload)
        interval, use = found.medians[key].time_sec, found.budgets[key]
        rows.append(
            (
                result.workload,
                result.submission,
                number(result.time_sec),
                _seconds_span(interval),
                "-" if interval is None else f"{100 * interval.level:.0f}%",
                number(100 * use.to_target, ".1f", "unknown", "%"),
                number(100 * use.run, ".1f", "unknown", "%"),
                f"{use.n_hit}/{use.n_studies}",
                use.misses.words if use.misses else "",
            )
        )
    headings = (
        *("workload", "submission", "seconds to target", "interval", "covers"),
        *("of the budget", "longest run", "studies hit", "closest miss"),
    )
    return Table("Medians and budgets", headings, rows, "llr")


def what_if_tables(if_so: WhatIf) -> list[Table | str]:
    """What each assumption does by itself, and the scores with all of them."""
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
    columns = ("workload", "seconds", "assumed", "AlgoPerf score", "worth")
    scores = ("AlgoPerf score", "as it is", "95% interval", "best of the group")
    return [
        Table("What if: each assumption alone", ("assumption", *columns), alone),
        Table(
            "What if: the scores with all of them", ("submission", *scores), together
        ),
        "The interval is what drawing the studies anew gives, as --intervals says; a "
        "time that was given is the same in every study.",
    ]


def coverage(leaderboard: Leaderboard, benchmark: Benchmark) -> list[str]:
    """Say in sentences how much of the benchmark stands behind the scores."""
    base_run, held_out_run = leaderboard.base_run, leaderboard.held_out_run
    lines = [f"{len(base_run)} of {len(benchmark.base)} base workloads have logs."]
    if len(base_run) < len(benchmark.base):
        lines.append("The others count as missed by every submission.")
    if len(held_out_run) < len(benchmark.held_out):
        lines.append(
            f"{len(held_out_run)} of {len(benchmark.held_out)} held-out workloads have "
            "logs; the others disqualify nobody."
        )
    return lines


def comparison(scored: Scored) -> list[str]:
    """Say in sentences what the ratios to the baseline are made of."""
    if scored.baseline is None:
        return []
    ruleset, benchmark = scored.ruleset, scored.benchmark
    lines = [
        f"time / {scored.baseline}: geometric mean over the base workloads, below 1 is "
        "faster; where both hit: the same over those that both reached, (how many)."
    ]
    missed = {r.workload for r in scored.results if math.isinf(r.time_sec)}
    budgets = {w: benchmark.targets[w].max_allowed_runtime_sec for w in benchmark.base}
    counts = ", ".join(
        f"{w} {number(ruleset.miss_sec(sec), '.0f', 'unknown', ' s')}"
        for w, sec in budgets.items()
        if w in missed
    )
    if counts:
        lines.append(
            f"In time / {scored.baseline} a miss counts as the budget of {ruleset} "
            f"({ruleset.budget_factor:g} x max_allowed_runtime_sec) plus 1 s, and as "
            f"equal where both missed: {counts}."
        )
    ratios = [row.time_ratio for row in scored.leaderboard.rows]
    if any(ratio is not None and math.isnan(ratio) for ratio in ratios):
        lines.append(
            "n/a: a workload that only one of the two ran, a miss of unknown budget, "
            "or no workload at all."
        )
    return lines


def _ends(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return "-"
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def _ratio(ratio: Ratio) -> str:
    if math.isnan(ratio.value):
        return "n/a"
    return f"{ratio.value:.3f} ({_ends(ratio.interval, 3)})"


def _seconds_span(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    if math.isinf(interval.low):
        return "missed"
    high = "a miss" if math.isinf(interval.high) else number(interval.high)
    return f"{number(interval.low)} to {high}"
